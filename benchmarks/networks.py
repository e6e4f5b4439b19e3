"""Networks for look-alike classes: a training step beside the plain classifier's; boxes and windows beside a loop."""

from collections.abc import Callable
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from skimage.measure import label, regionprops

from benchmarks.measure import Row, compare, interleaved
from benchmarks.photos import Photos
from foveate.core.progress import Progress
from foveate.data.batch import Batch
from foveate.experiment import Experiment
from foveate.experiment.specification import merge
from foveate.models.build import build_network
from foveate.models.networks.object_boxes import object_boxes
from foveate.models.networks.part_windows import OVERLAP, WINDOWS, part_windows
from foveate.objectives import Context, Objective
from foveate.papers.fine_grained.recipes import BACKBONE, NETWORKS, base

CLASSES, GRID = 200, 14
"""Of CUB; cells a side of the last map at 448 px, for which boxes and windows were made."""
Step = Callable[[], object]


def run(photos: Photos | None, repeats: int, quick: bool = False) -> list[Row]:
    """Seconds a step, with what it keeps for the backward pass; milliseconds for the boxes of a batch."""
    size, batch = (224, 4) if quick else (320, 4)
    steps = {name: training_step(name, size, batch) for name in ("plain", *NETWORKS)}
    kept = {name: kept_bytes(step) / 2**20 for name, step in steps.items()}
    seconds = interleaved(steps, min(repeats, 3))
    case = f"{BACKBONE}, {size} px, batch {batch}"
    rows = [
        compare(
            "training step", f"{name}, {case}", seconds[name], seconds["plain"], unit="s",
            note=f"{kept[name]:.0f} MiB are kept for the backward pass, {kept['plain']:.0f} of the plain classifier",
        )
        for name in NETWORKS
    ]  # fmt: skip
    return [*rows, _boxes(batch, median(seconds["mmal"]), case, repeats)]


def training_step(name: str, size: int, batch: int) -> Step:
    """A step of SGD with the losses of the network's authors, on noise."""
    asked = Experiment.from_dict(merge(base(), NETWORKS.get(name, {})))
    model = build_network(asked.model.model_copy(update={"weights": "none"}), CLASSES, size, 0)
    model.progress = progress = Progress(epoch=1, share=0.5, training=0.5)
    context = Context(
        tuple(map(str, range(CLASSES))), [30] * CLASSES, model.head, model.tap_channels, 0, model, model.branches
    )  # fmt: skip
    objective = Objective(asked.objective, context).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    raw = Batch(
        torch.randint(256, (batch, 3, size, size), dtype=torch.uint8),
        torch.arange(batch), torch.zeros(batch, 1, size, size, dtype=torch.uint8),
        torch.zeros(batch, dtype=torch.bool), torch.arange(batch),
    ).prepare("cpu", model.mean, model.std)  # fmt: skip

    def step() -> None:
        output = model(raw.images)
        objective.weigh(objective(output, raw, progress), output, progress).total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def kept_bytes(step: Step) -> int:
    """Bytes of all tensors that autograd keeps in a step, shared storage counted once."""
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(seen.values())


def _boxes(batch: int, step: float, case: str, repeats: int) -> Row:
    coarse = torch.rand(2, batch, 1, 5, 5) ** 2
    last, before = F.interpolate(coarse.flatten(0, 1), (GRID, GRID), mode="bicubic")[:, 0].split(batch)
    side = (448, 448)
    ways = {
        "batch": lambda: (object_boxes(last, before, side), part_windows(last, "birds", side)),
        "loop": lambda: [
            (plain_box(one.numpy(), other.numpy()), plain_windows(one))
            for one, other in zip(last, before, strict=True)
        ],
    }
    found = {
        name: [1000 * value for value in values] for name, values in interleaved(ways, repeats, 3).items()
    }
    share, loop = (median(found[name]) / 1000 / step for name in ("batch", "loop"))
    note = f"beside one picture after the other; {share:.1%} of that training step of MMAL-Net, the loop {loop:.1%}"
    return compare(
        "AOLM and APPM",
        f"{case}; maps of {GRID} x {GRID}",
        found["batch"],
        found["loop"],
        unit="ms a batch",
        note=note,
    )


def plain_box(last: np.ndarray, before: np.ndarray) -> list[int]:
    """AOLM for one picture, as its authors wrote it."""
    regions = label(last > last.mean())
    areas = [region.area for region in regionprops(regions)]
    rows, columns = np.nonzero((regions == 1 + int(np.argmax(areas))) & (before > before.mean()))
    if not len(rows):
        rows = columns = np.array([0, GRID - 1])
    ends = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    return [max(0, 32 * int(end) - 1) for end in ends]


def plain_windows(strength: torch.Tensor) -> list[np.ndarray]:
    """APPM for one picture: windows of each group, the best first, without those that overlap."""
    chosen = []
    for keep, shapes in WINDOWS["birds"]:
        boxes, scores = [], []
        for height, width in shapes:
            pooled = F.avg_pool2d(strength[None, None], (height, width), stride=1)[0, 0]
            scores.append(pooled.flatten().numpy())
            i, j = np.indices(pooled.shape).reshape(2, -1)
            boxes.append(np.stack([i, j, i + height, j + width], axis=1) * 32)
        left, rank = np.concatenate(boxes), np.concatenate(scores)
        own: list[np.ndarray] = []
        while len(left) and len(own) < keep:
            best = left[rank.argmax()]
            own.append(best)
            start, end = np.maximum(left[:, :2], best[:2]), np.minimum(left[:, 2:], best[2:])
            both = (end - start).clip(0).prod(axis=1)
            areas = (left[:, 2:] - left[:, :2]).prod(axis=1) + (best[2:] - best[:2]).prod()
            free = both / (areas - both) <= OVERLAP
            left, rank = left[free], rank[free]
        chosen += own + [own[-1]] * (keep - len(own))
    return chosen

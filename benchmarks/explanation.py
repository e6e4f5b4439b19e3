"""Explanations beside the libraries that people use now: same network, batch, threads and classes, interleaved.

Each note says how far from its floor Foveate is: the passes that the method cannot do without, and nothing else.
"""

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import captum.attr
import torch
from torch import nn

import foveate.core.torchvision_guard  # noqa: F401  (before timm and pytorch_grad_cam)
from benchmarks.measure import Row, better, compare, interleaved
from benchmarks.photos import Photos
from foveate.explanation import explain
from foveate.explanation.probe import Probe
from foveate.models.modes import untouched
from foveate.models.settings import ModelConfig
from foveate.models.tensor_files import read_tensors
from foveate.models.weights import resolve_weights

import pytorch_grad_cam  # isort: skip
import timm  # isort: skip
import torchcam.methods  # isort: skip
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # isort: skip

NETWORKS = ("resnet18", "mobilenetv3_small_100", "vit_tiny_patch16_224")
SIZE = 160
BATCH = 16
STEPS = 32
SAMPLES = 16
MASKS = 200
Ways = dict[str, Callable[[], Any]]


def run(photos: Photos | None, repeats: int, quick: bool = False, weights: Path | None = None) -> list[Row]:
    """Grad-CAM, occlusion, RISE, integrated gradients, SmoothGrad on random weights; Score-CAM also on ``weights``.

    With random weights hardly any channel is dead, so a trained network's file is what shows that part of Score-CAM.
    """
    networks = NETWORKS[1:2] if quick else NETWORKS
    rows: list[Row] = []
    for name in networks:
        sized = {"img_size": SIZE} if name.startswith("vit") else {}
        model = timm.create_model(name, num_classes=10, **sized).eval()
        rows.append(_grad_cam(name, model, repeats))
        rows += [_occlusion(name, model, repeats), _rise(name, model, repeats, 64 if quick else MASKS)]
        rows += [_integrated_gradients(name, model, repeats), _smooth_grad(name, model, repeats)]
        if not name.startswith("vit"):
            rows.append(_score_cam(f"{name}, random weights", model, min(repeats, 2)))
    if weights is not None:
        found = resolve_weights(ModelConfig(weights=str(weights)))
        model = timm.create_model(
            found.architecture, num_classes=found.card.classes, **found.card.architecture_kwargs
        )
        model.load_state_dict(read_tensors(weights))
        rows.append(_score_cam(f"{found.architecture}, trained", model.eval(), min(repeats, 2)))
    return rows


def _pictures(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, SIZE, SIZE, generator=generator), torch.arange(count) % 10


def _grad_cam(name: str, model: nn.Module, repeats: int) -> Row:
    images, targets = _pictures(BATCH)
    path = Probe(model).resolve(None, images)
    classes = [ClassifierOutputTarget(int(t)) for t in targets]
    vit = name.startswith("vit")
    placed = Probe(model).place(images)

    def floor() -> None:
        with untouched(model):
            Probe(model).gradients(placed, targets, [path])

    def grad_cam() -> None:
        with pytorch_grad_cam.GradCAM(
            model, [model.get_submodule(path)], reshape_transform=_grid if vit else None
        ) as cam:
            cam(images, classes)

    ways: Ways = {"foveate": lambda: explain(model, images, targets), "floor": floor, "grad-cam": grad_cam}
    if not vit:
        ways["torchcam"] = lambda: _torchcam(torchcam.methods.GradCAM, model, path, images, targets)
        layer = captum.attr.LayerGradCam(model, model.get_submodule(path))
        ways["captum"] = lambda: layer.attribute(images, target=targets)
    return _row("Grad-CAM", f"{name}, batch {BATCH}", ways, repeats, BATCH)


def _score_cam(case: str, model: nn.Module, repeats: int) -> Row:
    images, targets = _pictures(1)
    path = Probe(model).resolve(None, images)
    theirs: list[torch.Tensor] = []

    def grad_cam() -> None:
        silent = redirect_stderr(io.StringIO())  # it draws a bar for every picture
        with silent, pytorch_grad_cam.ScoreCAM(model, [model.get_submodule(path)]) as cam:
            theirs.append(torch.from_numpy(cam(images, [ClassifierOutputTarget(int(targets))])))

    options = {"corners": True}  # as grad-cam upsamples
    ways: Ways = {
        "foveate": partial(explain, model, images, targets, "scorecam", **options),
        "foveate, auto": partial(explain, model, images, targets, "scorecam", precision="auto", **options),
        "grad-cam": grad_cam,
        "torchcam": lambda: _torchcam(torchcam.methods.ScoreCAM, model, path, images, targets),
    }
    row = _row("Score-CAM", f"{case}, 1 picture", ways, repeats, 1)
    live = _live(model, images, path)
    apart = [float((ways[name]() - theirs[-1]).abs().max()) for name in ("foveate", "foveate, auto")]
    note = (
        f"; {int(live.sum())} of {len(live)} channels live; at most {apart[0]:.1e} (auto: {apart[1]:.1e}) from "
        "grad-cam's map"
    )
    return replace(row, note=row.note + note)


def _live(model: nn.Module, images: torch.Tensor, path: str) -> torch.Tensor:
    """(K,) which channels of the layer are not constant over the picture."""
    with torch.no_grad():
        maps = Probe(model).tapped(images, [path])[1][path][0]
    return maps.amax(dim=(1, 2)) > maps.amin(dim=(1, 2))


def _occlusion(name: str, model: nn.Module, repeats: int) -> Row:
    images, targets = _pictures(2)
    window = 32
    peer = captum.attr.Occlusion(model)
    kwargs = {"window": window / SIZE, "stride": window / SIZE}
    ways: Ways = {
        "foveate": lambda: explain(model, images, targets, "occlusion", **kwargs),
        "foveate, auto": lambda: explain(model, images, targets, "occlusion", precision="auto", **kwargs),
        "captum": lambda: peer.attribute(
            images, (3, window, window), (3, window, window), target=targets, perturbations_per_eval=16
        ),
    }
    return _row("occlusion", f"{name}, {window} px windows, 2 pictures", ways, repeats, 2)


def _rise(name: str, model: nn.Module, repeats: int, masks: int) -> Row:
    images, targets = _pictures(2)

    def plain() -> None:
        """As in the paper's own code: masks drawn once, 100 a batch, one picture after the other."""
        cells = (torch.rand(masks, 1, 7, 7) < 0.5).float()
        large = nn.functional.interpolate(cells, size=(184, 184), mode="bilinear")
        drawn = torch.stack(
            [
                one[:, y : y + SIZE, x : x + SIZE]
                for one, (y, x) in zip(large, torch.randint(0, 24, (masks, 2)).tolist(), strict=True)
            ]
        )
        with torch.no_grad():
            for image, target in zip(images, targets, strict=True):
                scores = torch.cat([model(part * image).softmax(1)[:, target] for part in drawn.split(100)])
                (scores @ drawn.flatten(1)).view(SIZE, SIZE)

    ways: Ways = {
        "foveate": lambda: explain(model, images, targets, "rise", masks=masks),
        "foveate, auto": lambda: explain(model, images, targets, "rise", masks=masks, precision="auto"),
        "plain loop": plain,
    }
    return _row("RISE", f"{name}, {masks} masks, 2 pictures", ways, min(repeats, 3), 2)


def _integrated_gradients(name: str, model: nn.Module, repeats: int) -> Row:
    images, targets = _pictures(4)
    peer = captum.attr.IntegratedGradients(model)
    ways: Ways = {
        "foveate": lambda: explain(model, images, targets, "integrated_gradients", steps=STEPS),
        "captum": lambda: peer.attribute(images, target=targets, n_steps=STEPS),
        "captum, inner batch 16": lambda: peer.attribute(
            images, target=targets, n_steps=STEPS, internal_batch_size=16
        ),
    }
    return _row("integrated gradients", f"{name}, {STEPS} steps, 4 pictures", ways, min(repeats, 3), 4)


def _smooth_grad(name: str, model: nn.Module, repeats: int) -> Row:
    images, targets = _pictures(4)
    peer = captum.attr.NoiseTunnel(captum.attr.Saliency(model))
    ways: Ways = {
        "foveate": lambda: explain(model, images, targets, "smoothgrad", samples=SAMPLES),
        "captum": lambda: peer.attribute(images, nt_samples=SAMPLES, target=targets),
        "captum, one at a time": lambda: peer.attribute(
            images, nt_samples=SAMPLES, nt_samples_batch_size=1, target=targets
        ),
    }
    return _row("SmoothGrad", f"{name}, {SAMPLES} samples, 4 pictures", ways, min(repeats, 3), 4)


def _torchcam(
    kind: type, model: nn.Module, path: str, images: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    with kind(model, path) as extractor:
        scores = model(images.clone().requires_grad_(True))
        return extractor(targets.tolist(), scores)[0]


def _grid(tokens: torch.Tensor) -> torch.Tensor:
    """A ViT's tokens as its users reshape them for grad-cam."""
    side = SIZE // 16
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side))


def _row(what: str, case: str, ways: Ways, repeats: int, work: int) -> Row:
    """Foveate beside the fastest peer; the note lists all of them, and the floor."""
    seconds = interleaved(ways, repeats)
    own = seconds.pop("foveate")
    floor = seconds.pop("floor", None)
    others = {name: times for name, times in seconds.items() if not name.startswith("foveate")}
    name, fastest = better(others)
    parts = [f"{other} {work / median(times):.3g}" for other, times in seconds.items()]
    note = f"beside {name}; " + ", ".join(parts)
    if floor is not None:
        note += f"; {median(own) / median(floor):.2f} x its floor ({work / median(floor):.3g})"
    return compare(what, case, own, fastest, work=work, unit="pictures/s", note=note)

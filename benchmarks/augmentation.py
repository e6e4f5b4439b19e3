"""Every batch transform on 64 x 3 x 224 x 224 pictures with masks, beside libraries and a MobileNetV3-Small step.

Unguided ones: their time as a share of a plain training step. Guided ones ask the network, so the step with them is
timed whole. Libraries get the same pictures: the whole batch where they take some, else a few one after the other.
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.measure import Row, compare, interleaved
from benchmarks.photos import Photos
from foveate.augmentation import TRANSFORMS
from foveate.augmentation.guidance import GuidedConfig
from foveate.core.config import parse
from foveate.core.progress import Progress
from foveate.data.batch import Batch
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig

import timm.data.auto_augment as timm_policies  # isort: skip
from timm.data import Mixup  # isort: skip
from timm.data.random_erasing import RandomErasing  # isort: skip
from torchvision.transforms import v2  # isort: skip
from torchvision.transforms.v2 import functional as tv  # isort: skip

NETWORK, SIZE, BATCH, CLASSES = "mobilenetv3_small_100", 224, 64, 10
COUNTS = (200, 20) * (CLASSES // 2)
LATE = Progress(epoch=1, share=0.5, training=0.9)
"""When everything that grows has grown, and SamplePairing would rest: see ``SETTINGS``."""
SETTINGS: dict[str, dict[str, Any]] = {
    # MobileNetV3 has layers between pooling and logits: no CAM. Grad-CAM stands in for it.
    **{kind: {"explainer": "gradcam"} for kind in ("snapmix", "part_swap", "attribute_mix", "context_paste")},
    "keep_augment": {"resolution": 0.5},  # the paper's own way to save time
    "sample_pairing": {"stop": 1.0},
    "smote": {"p": 1.0},
}
SMALLER = {"resolution": 0.7}
"""Explained at half the pixels, as a second case of those that ask the network once."""
ASK_ONCE = ("attentive_cutmix", "snapmix")
SINGLY, FEW = ", one by one", 8
"""Libraries that change one picture at a time are given so many of the pictures."""
KORNIA = {
    "mixup": "RandomMixUpV2", "cutmix": "RandomCutMixV2", "random_erasing": "RandomErasing",
    "perspective": "RandomPerspective", "elastic": "RandomElasticTransform", "shuffle_tiles": "RandomJigsaw",
}  # fmt: skip


def run(photos: Photos | None, repeats: int, quick: bool = False) -> list[Row]:
    """Pictures/s of every member, and of a training step with every guided one."""
    bench = _Bench()
    kinds = [kind for kind in TRANSFORMS if kind != "combine"]
    guided = [kind for kind in kinds if _asks(kind)]
    plain = [kind for kind in kinds if kind not in guided]
    if quick:
        guided, plain = ["snapmix"], ["cutmix", "mixup", "randaugment"]
    return [*_unguided(bench, plain, repeats), *_guided(bench, guided, repeats)]


def _asks(kind: str) -> bool:
    return issubclass(TRANSFORMS[kind].Config, GuidedConfig)


class _Bench:
    """Pictures, and a network that is trained on them."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        colours = torch.rand(BATCH, 3, 14, 14, generator=generator)
        self.bytes = (F.interpolate(colours, SIZE, mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)
        y, x = torch.arange(SIZE)[:, None], torch.arange(SIZE)
        shift = torch.arange(BATCH).view(-1, 1, 1)
        self.masks = ((y - 60 - shift) ** 2 + (x - 100 - shift) ** 2 < 60**2).float()[:, None]
        config = ModelConfig(backbone=NETWORK, weights="none")
        model = build_network(config, classes=CLASSES, size=SIZE, seed=0).train()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
        mean, std = (value.view(1, 3, 1, 1) for value in (model.mean, model.std))
        self.normalised = (self.bytes / 255 - mean) / std
        self.pictures = [tv.to_pil_image(picture) for picture in self.bytes]
        self.targets = torch.arange(BATCH) % CLASSES
        self.images, self.shown = self.normalised.clone(), self.masks.clone()
        self.turn = 0

    def reset(self) -> None:
        """Pictures as they are, before each way; not timed."""
        self.images.copy_(self.normalised)
        self.shown.copy_(self.masks)
        self.turn += 1

    def batch(self) -> Batch:
        """64 pictures, all with masks, which may be changed in place."""
        return Batch(self.images, self.targets, self.shown, torch.ones(BATCH).bool(), torch.arange(BATCH))

    def step(self, transform: Any = None) -> None:
        """Forward, backward, update."""
        batch = self.batch() if transform is None else self.changed(transform)
        images = batch.images.contiguous(memory_format=torch.channels_last)
        F.cross_entropy(self.model(images).logits, batch.targets).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def changed(self, transform: Any) -> Batch:
        """By the transform."""
        found: Batch = transform(self.batch(), self.model, np.random.default_rng(self.turn), LATE)
        return found


def _transform(kind: str, **settings: Any) -> Any:
    config = parse(TRANSFORMS[kind].Config, {"kind": kind, **SETTINGS.get(kind, {}), **settings}, source=kind)
    return TRANSFORMS.build(config, COUNTS)


def _unguided(bench: _Bench, kinds: list[str], repeats: int) -> list[Row]:
    ways: dict[str, Callable[[], object]] = {"step": bench.step}
    for kind in kinds:
        ways[kind] = partial(bench.changed, _transform(kind))
        ways |= {f"{kind} {library}": way for library, way in _libraries(kind, bench).items()}
    seconds = interleaved(ways, repeats, before=bench.reset)
    rows = []
    for kind in kinds:
        own, step = seconds[kind], seconds["step"]
        notes = [f"{100 * median(own) / median(step):.1f} % of the step"]
        for name, theirs in seconds.items():
            if name.startswith(f"{kind} "):
                rate = (FEW if name.endswith(SINGLY) else BATCH) / median(theirs)
                faster = BATCH / median(own) / rate
                notes.append(f"{name.removeprefix(kind).strip()} {rate:.0f} pictures/s (ours x {faster:.1f})")
        if kind in KORNIA and not find_spec("kornia"):
            notes.append("kornia not installed")
        case = f"{kind}, {BATCH} x {SIZE} px, beside a plain step of {NETWORK}"
        rows.append(
            compare("augmentation", case, own, step, work=BATCH, unit="pictures/s", note="; ".join(notes))
        )
    return rows


def _guided(bench: _Bench, kinds: list[str], repeats: int) -> list[Row]:
    cases: dict[str, tuple[str, dict[str, Any]]] = {kind: (kind, {}) for kind in kinds}
    cases |= {f"{kind}, smaller": (kind, SMALLER) for kind in ASK_ONCE if kind in kinds}
    ways: dict[str, Callable[[], object]] = {"plain": bench.step}
    ways |= {name: partial(bench.step, _transform(kind, **more)) for name, (kind, more) in cases.items()}
    seconds = interleaved(ways, repeats, before=bench.reset)
    rows = []
    for name, (kind, more) in cases.items():
        note = f"{median(seconds[name]) / median(seconds['plain']):.2f} x the plain step"
        note += "".join(
            f"; {setting}: {value}" for setting, value in {**SETTINGS.get(kind, {}), **more}.items()
        )
        case = f"{name}, {BATCH} x {SIZE} px, {NETWORK}, beside a plain step"
        rows.append(
            compare(
                "augmented step",
                case,
                seconds[name],
                seconds["plain"],
                work=BATCH,
                unit="pictures/s",
                note=note,
            )
        )
    return rows


def _libraries(kind: str, bench: _Bench) -> dict[str, Callable[[], object]]:
    """{library: the same on the same pictures}, of those that have it; ``SINGLY`` on the first ``FEW`` alone."""
    images, targets = bench.images, bench.targets
    pil: dict[str, Any] = {"translate_const": 100, "img_mean": (124, 116, 104)}
    singly: dict[tuple[str, str], tuple[Any, Any]] = {
        ("random_erasing", "torchvision"): (v2.RandomErasing(value="random"), images),
        ("randaugment", "torchvision"): (v2.RandAugment(), bench.bytes),
        ("trivialaugment", "torchvision"): (v2.TrivialAugmentWide(), bench.bytes),
        ("autoaugment", "torchvision"): (v2.AutoAugment(), bench.bytes),
        ("augmix", "torchvision"): (v2.AugMix(), bench.bytes),
        ("perspective", "torchvision"): (v2.RandomPerspective(), images),
        ("elastic", "torchvision"): (v2.RandomApply([v2.ElasticTransform()]), images),
        ("randaugment", "timm"): (timm_policies.rand_augment_transform("rand-m9-n2", pil), bench.pictures),
        ("autoaugment", "timm"): (timm_policies.auto_augment_transform("original", pil), bench.pictures),
        ("augmix", "timm"): (timm_policies.augment_and_mix_transform("augmix-m3-w3", pil), bench.pictures),
    }
    together: dict[tuple[str, str], Callable[[], object]] = {
        ("mixup", "torchvision"): lambda: v2.MixUp(num_classes=CLASSES)(images, targets),
        ("cutmix", "torchvision"): lambda: v2.CutMix(num_classes=CLASSES)(images, targets),
        ("mixup", "timm"): lambda: Mixup(num_classes=CLASSES)(images, targets),
        ("cutmix", "timm"): lambda: Mixup(0, cutmix_alpha=1, num_classes=CLASSES)(images, targets),
        ("random_erasing", "timm"): lambda: RandomErasing(0.5, mode="pixel", device="cpu")(images),
    }
    found = {name: way for (what, name), way in together.items() if what == kind}
    for (what, name), (change, pictures) in singly.items():
        if what == kind:
            found[name + SINGLY] = partial(
                lambda change, few: [change(one) for one in few], change, pictures[:FEW]
            )
    if kind in KORNIA and find_spec("kornia"):
        import kornia.augmentation

        mixes = kind in ("mixup", "cutmix")
        settings = {"data_keys": ["input", "class"]} if mixes else {"p": 0.5}
        change = getattr(kornia.augmentation, KORNIA[kind])(**settings)
        found["kornia"] = partial(change, images, targets) if mixes else partial(change, images)
    return found

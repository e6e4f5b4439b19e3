"""AugMix: operations as Pillow does them, mixtures inside the hull of their chains, the loss by its formula."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy.ndimage import binary_erosion

from foveate.augmentation import augmix
from foveate.augmentation.augmix import AugMix
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.data.batch import Batch
from foveate.models.build import build_network
from foveate.models.output import Output
from foveate.models.settings import ModelConfig
from foveate.objectives.classification import CrossEntropy
from foveate.objectives.objective import Objective
from foveate.objectives.term import Context
from foveate.objectives.views import JensenShannon

CONTEXT = Context(("a", "b", "c"), (1, 1, 1))
MODEL = build_network(ModelConfig(backbone="foveate_small_cnn", weights="none"), classes=3, size=32, seed=0)


def smooth(seed: int, height: int = 24, width: int = 36) -> np.ndarray:
    """(H, W, 3) uint8 without sharp edges, so that rounding of places cannot matter much."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(20, 230, (4, 4, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


PLAIN = {
    "autocontrast": lambda image, level: ImageOps.autocontrast(image),
    "equalize": lambda image, level: ImageOps.equalize(image),
    "posterize": lambda image, level: ImageOps.posterize(image, 4 - int(4 * abs(level))),
    "solarize": lambda image, level: ImageOps.solarize(image, 256 - int(256 * abs(level))),
    "rotate": lambda image, level: image.rotate(30 * level, Image.Resampling.BILINEAR),
    "shear_x": lambda image, level: affine(image, 1, 0.3 * level, 0, 0, 1, 0),
    "shear_y": lambda image, level: affine(image, 1, 0, 0, 0.3 * level, 1, 0),
    "translate_x": lambda image, level: affine(image, 1, 0, level * image.size[0] / 3, 0, 1, 0),
    "translate_y": lambda image, level: affine(image, 1, 0, 0, 0, 1, level * image.size[1] / 3),
}


@pytest.mark.parametrize("name", list(PLAIN))
def test_operations_are_those_of_pillow(name: str) -> None:
    levels = [-0.9, -0.3, 0.0, 0.12, 0.6]
    pictures = [smooth(seed) for seed in range(len(levels))]
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    found = augmix.OPERATIONS[name](batch.float(), torch.tensor(levels)).permute(0, 2, 3, 1).numpy()
    for picture, level, ours in zip(pictures, levels, found, strict=True):
        theirs = np.asarray(PLAIN[name](Image.fromarray(picture), level))
        # Where a moved picture ends inside a pixel, Pillow takes the last pixel whole and we blend with black.
        far = np.abs(ours.astype(int) - theirs.astype(int)).max(2) > 2
        moved = name.startswith(("rotate", "shear", "translate"))
        assert far.mean() <= (0.08 if moved else 0)
        assert not binary_erosion(far, np.ones((3, 3))).any()
    assert set(augmix.OPERATIONS) == set(PLAIN)


def batch(count: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(count, 3, 32, 32, generator=generator)
    images = (images - MODEL.mean.view(1, 3, 1, 1)) / MODEL.std.view(1, 3, 1, 1)
    return Batch(
        images, torch.arange(count) % 3, torch.rand(count, 1, 32, 32, generator=generator),
        torch.tensor([True, False] * count)[:count], torch.arange(count) + 10,
    )  # fmt: skip


def test_views_lie_in_a_row_with_the_plain_picture_first() -> None:
    before = batch()
    found = AugMix(AugMix.Config(views=3), ())(batch(), MODEL, np.random.default_rng(0), Progress())
    assert len(found) == 20
    assert found.views == 4
    assert torch.equal(found.images[::4], before.images)
    assert found.index.tolist() == [row for row in before.index.tolist() for _ in range(4)]
    assert found.targets.tolist() == [label for label in before.targets.tolist() for _ in range(4)]
    assert torch.equal(found.has_mask[::4], before.has_mask)
    assert not found.has_mask.view(5, 4)[:, 1:].any()
    assert torch.equal(found.masks[::4], before.masks)
    unit = found.images * MODEL.std.view(1, 3, 1, 1) + MODEL.mean.view(1, 3, 1, 1)
    assert unit.min() >= -1e-5
    assert unit.max() <= 1 + 1e-5
    again = AugMix(AugMix.Config(views=3), ())(batch(), MODEL, np.random.default_rng(0), Progress())
    assert torch.equal(again.images, found.images)
    with pytest.raises(ConfigError, match="leave one of them out"):
        AugMix(AugMix.Config(), ())(found, MODEL, np.random.default_rng(0), Progress())


def test_a_constant_picture_stays_what_it_is_where_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights sum to one: chains that change nothing give the picture back."""
    monkeypatch.setattr(augmix, "OPERATIONS", {"nothing": lambda images, level: images})
    before = batch()
    found = AugMix(AugMix.Config(), ())(batch(), MODEL, np.random.default_rng(1), Progress())
    # Chains go through bytes: half a grey level, in normalised units.
    limit = float(0.5 / 255 / MODEL.std.min()) + 1e-5
    assert (found.images.view(5, 3, 3, 32, 32) - before.images[:, None]).abs().max() <= limit


def test_shares_are_drawn_as_the_paper_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one chain that blackens, a view's brightness is 1 - m, m ~ U(0, 1): mean 1/2, variance 1/12."""
    monkeypatch.setattr(augmix, "OPERATIONS", {"black": lambda images, level: torch.zeros_like(images)})
    white = batch(400)
    images = (torch.ones_like(white.images) - MODEL.mean.view(1, 3, 1, 1)) / MODEL.std.view(1, 3, 1, 1)
    found = AugMix(AugMix.Config(), ())(
        white.replace(images=images), MODEL, np.random.default_rng(2), Progress()
    )
    unit = found.images * MODEL.std.view(1, 3, 1, 1) + MODEL.mean.view(1, 3, 1, 1)
    brightness = unit.view(400, 3, -1).mean(2)[:, 1:].flatten()
    assert abs(float(brightness.mean()) - 0.5) < 4 * (1 / 12 / 800) ** 0.5
    assert abs(float(brightness.var()) - 1 / 12) < 0.02


def test_jensen_shannon_is_its_formula_and_ignores_single_views() -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    linked = Batch(
        torch.zeros(6, 3, 1, 1), torch.zeros(6, dtype=torch.int64), torch.zeros(6, 1, 1, 1),
        torch.zeros(6, dtype=torch.bool), torch.arange(2).repeat_interleave(3), views=3,
    )  # fmt: skip
    term = JensenShannon(JensenShannon.Config(), CONTEXT)
    found = term(Output(logits), linked, Progress())
    expected = 0.0
    for picture in range(2):
        p = logits.detach().double().softmax(1)[3 * picture : 3 * picture + 3]
        m = p.mean(0)
        expected += sum(float((row * (row / m).log()).sum()) for row in p) / 3 / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert torch.autograd.grad(found, logits)[0].abs().max() > 0
    assert term(Output(logits), linked.replace(views=1), Progress()).item() == 0


def test_the_papers_objective_is_the_plain_view_and_the_agreement() -> None:
    """loss = CE(plain) + 12 JS; the other views have no part in the cross-entropy."""
    linked = AugMix(AugMix.Config(), ())(batch(), MODEL, np.random.default_rng(0), Progress())
    logits = torch.randn(15, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    objective = Objective(
        {"classification": CrossEntropy.Config(on="first"), "agreement": JensenShannon.Config(weight=12.0)},
        CONTEXT,
    )
    output = Output(logits)
    terms = objective(output, linked, Progress())
    plain = torch.nn.functional.cross_entropy(logits[::3], linked.targets[::3])
    assert terms["classification"].item() == pytest.approx(plain.item(), rel=1e-6)
    total = objective.weigh(terms, output, Progress()).total
    assert total.item() == pytest.approx((plain + 12 * terms["agreement"]).item(), rel=1e-6)

"""Every batch transform in a whole training step, and named in the docs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from augmentation_helpers import network, places
from every_setting import minimal
from foveate.augmentation import TRANSFORMS
from foveate.core.config import parse
from foveate.core.progress import Progress
from foveate.data.batch import Batch
from foveate.training import fit
from foveate.training.precision import Precision
from foveate.training.step import Step
from training_helpers import Stop, phase, toy_job, weights_of

LATE = Progress(epoch=3, share=0.5, training=0.5)
MODEL = network()


def built(kind: str, counts: tuple[int, ...] = (30, 12, 3)) -> object:
    config = parse(TRANSFORMS[kind].Config, minimal(TRANSFORMS[kind].Config), source=kind)
    return TRANSFORMS.build(config, counts)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_a_training_step_with_it(kind: str) -> None:
    """The loss is finite and differentiable, and the same step gives the same gradients."""
    gradients = []
    for _ in range(2):
        job = toy_job(transforms=(built(kind),), phases=[phase()])
        step = Step(job, job.objective, Precision("fp32"))
        done = step.train(job.model.train(), job.feeds.sample(8), LATE, 0)
        assert bool(done.output.logits.isfinite().all())
        done.weighed.total.backward()
        found = [p.grad for p in job.model.parameters()]
        assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in found)
        gradients.append(torch.cat([gradient.flatten() for gradient in found]))
    assert torch.equal(*gradients)
    assert float(gradients[0].abs().sum()) > 0


def same(found: Batch, other: Batch) -> bool:
    return all(
        torch.equal(getattr(found, name), getattr(other, name)) for name in ("images", "targets", "masks")
    )


@pytest.mark.parametrize("kind", TRANSFORMS)
@pytest.mark.parametrize(("count", "height", "width"), [(1, 19, 32), (5, 33, 18)])
@pytest.mark.parametrize("masked", [True, False])
def test_odd_sizes_one_picture_masks_or_none(
    kind: str, count: int, height: int, width: int, masked: bool
) -> None:
    def batch() -> Batch:
        found = places(count, height, width)
        known = torch.full((count,), masked)
        return found.replace(has_mask=known, masks=found.masks * masked)

    for seed in range(3):
        found, again = (built(kind)(batch(), MODEL, np.random.default_rng(seed), LATE) for _ in range(2))
        assert same(found, again)
        assert found.images.shape[1:] == (3, height, width)
        assert len(found.images) == count * found.views
        assert found.masks.shape == (len(found.images), 1, height, width)
        assert bool(found.images.isfinite().all())
        assert float(found.masks.min()) >= 0
        assert float(found.masks.max()) <= 1 + 1e-5
        assert masked or not found.has_mask.any()
        assert not found.masks[~found.has_mask].any() or masked
        if found.targets.is_floating_point():
            assert found.targets.shape == (count, 3)
            assert float(found.targets.min()) >= 0


@pytest.mark.parametrize(
    "kinds", [("cow_out", "snapmix"), ("smote", "puzzle_mix"), ("cut_paste", "randaugment")]
)
def test_killed_and_gone_on_it_ends_with_the_same_bits(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    def job(**more: object) -> object:
        transforms = tuple(built(kind) for kind in kinds)
        return toy_job(transforms=transforms, phases=[phase(epochs=3)], checkpoint_seconds=0.0, **more)

    whole = job()
    fit(whole)
    with pytest.raises(KeyboardInterrupt):
        fit(job(folder=tmp_path, observer=Stop(6)))
    again = job(folder=tmp_path)
    fit(again)
    expected, found = weights_of(whole), weights_of(again)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_docs_name_every_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert not [kind for kind in TRANSFORMS if f"`{kind}`" not in page and f"kind: {kind}" not in page]

"""Attacks against captum's, and what they may change."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from captum.robust import FGSM, PGD
from torch import nn
from torch.nn import functional

from foveate.data.batch import Batch
from foveate.evaluation.evaluators.attacks import Attacks
from foveate.models.output import Output

N, SIDE = 12, 8


class Small(nn.Module):
    """Smooth, so that no gradient is exactly zero."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("mean", torch.tensor([0.5, 0.4, 0.3]))
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.4]))
        self.layers = nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.Tanh(), nn.Flatten(), nn.Linear(5 * 36, 3)
        ).double()

    def forward(self, images: torch.Tensor) -> Output:
        return Output(self.layers(images.double()))


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(B,) large, since captum takes gradients below 1e-6 for zero."""
    return 1e6 * functional.cross_entropy(logits, targets, reduction="none")


def asked(
    splits: str = "t" * N, targets: torch.Tensor | None = None, **settings: Any
) -> tuple[Attacks, Batch]:
    rng = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (N, 3, SIDE, SIDE), generator=rng, dtype=torch.uint8)
    nothing = torch.zeros(N, 1, SIDE, SIDE, dtype=torch.uint8)
    model = Small()
    if targets is None:
        plain = (images.float() / 255 - model.mean.view(1, 3, 1, 1)) / model.std.view(1, 3, 1, 1)
        targets = model(plain).logits.argmax(dim=1)  # all right, before the attack
    names = {"t": "test", "v": "val"}
    catalog = SimpleNamespace(samples=[SimpleNamespace(split=names[letter]) for letter in splits])
    subject: Any = SimpleNamespace(model=model, device="cpu", catalog=catalog)
    evaluator = Attacks(Attacks.Config(**settings), subject)
    return evaluator, Batch(images, targets, nothing, torch.zeros(N, dtype=torch.bool), torch.arange(N))


# captum warns of setting requires_grad, which is what it is asked for
@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_one_step_is_captums() -> None:
    evaluator, batch = asked()
    images = batch.images.float()
    theirs = FGSM(lambda x: evaluator._logits(x), loss, lower_bound=0, upper_bound=255).perturb(
        images, 3.0, batch.targets
    )
    ours = evaluator._attacked(images, images, batch.targets, 3.0, 1, 3.0)
    assert torch.equal(ours, theirs)
    assert (ours - images).abs().max() <= 3


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_several_steps_are_captums() -> None:
    evaluator, batch = asked()
    images = batch.images.float()
    attack = PGD(lambda x: evaluator._logits(x), loss, lower_bound=0, upper_bound=255)
    theirs = attack.perturb(images, radius=4.0, step_size=1.0, step_num=10, target=batch.targets, norm="Linf")
    ours = evaluator._attacked(images, images, batch.targets, 4.0, 10, 1.0)
    assert torch.allclose(ours, theirs, atol=1e-3)


def test_stronger_attacks_leave_less() -> None:
    evaluator, batch = asked(strengths=(0.5, 8.0, 64.0))
    evaluator.see(batch)
    ((name, found),) = list(evaluator.run(None, None))  # type: ignore[arg-type]
    assert name == "test.attacks"
    assert list(found) == [
        f"{kind}_{strength}" for strength in ("0.5", "8", "64") for kind in ("fgsm", "pgd")
    ]
    for kind in ("fgsm", "pgd"):
        weak, middle, strong = (found[f"{kind}_{strength}"]["accuracy"] for strength in ("0.5", "8", "64"))
        assert weak >= middle >= strong
    assert found["pgd_64"]["accuracy"] < found["fgsm_0.5"]["accuracy"]
    assert found["pgd_64"]["n"] == N


def test_batches_change_nothing_and_splits_are_apart() -> None:
    evaluator, batch = asked("tv" * (N // 2), strengths=(8.0,))
    evaluator.see(batch)
    whole = dict(evaluator.run(None, None))  # type: ignore[arg-type]
    evaluator, batch = asked("tv" * (N // 2), strengths=(8.0,))
    for part in (slice(0, 5), slice(5, N)):
        evaluator.see(
            Batch(
                *(getattr(batch, name)[part] for name in ("images", "targets", "masks", "has_mask", "index"))
            )
        )
    assert dict(evaluator.run(None, None)) == whole  # type: ignore[arg-type]
    assert set(whole) == {"test.attacks", "val.attacks"}
    assert {found["n"] for split in whole.values() for found in split.values()} == {N // 2}


def test_pictures_without_a_label_are_left_out() -> None:
    targets = torch.zeros(N, dtype=torch.long)
    targets[3:] = -1
    evaluator, batch = asked(targets=targets, strengths=(1.0,))
    evaluator.see(batch)
    ((_, found),) = list(evaluator.run(None, None))  # type: ignore[arg-type]
    assert found["fgsm_1"]["n"] == 3
    evaluator, batch = asked(targets=torch.full((N,), -1), strengths=(1.0,))
    evaluator.see(batch)
    assert list(evaluator.run(None, None)) == []  # type: ignore[arg-type]

"""Classification losses against torch, scikit-learn and plain formulas."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.heads import CosineHead
from foveate.models.output import Output
from foveate.objectives import Context, Progress
from foveate.objectives.classification import ArcFace, CrossEntropy, Focal, HeadPenalty, Huber

CONTEXT = Context(("bee", "fly", "wasp"), (10, 5, 1))
PROGRESS = Progress()


def batch_of(targets: torch.Tensor) -> Batch:
    n = len(targets)
    return Batch(
        torch.zeros(n, 3, 4, 4),
        targets,
        torch.zeros(n, 1, 4, 4),
        torch.zeros(n, dtype=torch.bool),
        torch.arange(n),
    )


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(8, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)


@pytest.fixture
def targets() -> torch.Tensor:
    return torch.tensor([0, 1, 2, 0, 0, 1, 2, 1])


def test_cross_entropy_is_scikit_learns_log_loss(logits: torch.Tensor, targets: torch.Tensor) -> None:
    ours = CrossEntropy(CrossEntropy.Config(), CONTEXT)(Output(logits), batch_of(targets), PROGRESS)
    assert ours.item() == pytest.approx(
        log_loss(targets, logits.detach().double().softmax(1).numpy()), rel=1e-5
    )


def test_mixed_targets_equal_hard_ones(logits: torch.Tensor, targets: torch.Tensor) -> None:
    soft = F.one_hot(targets, 3).float()
    for loss in (CrossEntropy, Focal, Huber):
        term = loss(loss.Config(), CONTEXT)
        hard = term(Output(logits), batch_of(targets), PROGRESS)
        assert term(Output(logits), batch_of(soft), PROGRESS).item() == pytest.approx(hard.item(), rel=1e-6)


def test_arcface_widens_the_angle_to_the_own_class() -> None:
    head = CosineHead(CosineHead.Config(scale=8.0), 4, 3)
    term = ArcFace(ArcFace.Config(margin=0.6), Context(CONTEXT.classes, CONTEXT.counts, head))
    cosines = torch.tensor([[0.9, -0.2, 0.3], [0.5, -0.95, 0.1], [1.0, 0.0, -1.0]], requires_grad=True)
    targets = [0, 1, 2]

    def slow(margin: float) -> torch.Tensor:
        losses = []
        for row, own in zip(cosines, targets, strict=True):
            angle = float(row.detach()[own].double().arccos())
            widened = 8 * math.cos(min(angle + margin, math.pi))
            said = [widened if c == own else 8 * row.detach()[c].item() for c in range(3)]
            losses.append(math.log(sum(math.exp(v) for v in said)) - said[own])
        return torch.tensor(sum(losses) / 3)

    found = term(Output(8 * cosines), batch_of(torch.tensor(targets)), PROGRESS)
    torch.testing.assert_close(found, slow(0.6), rtol=1e-4, atol=1e-3)
    found.backward()
    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()
    assert (cosines.grad[0, 0] < 0, cosines.grad[0, 2] > 0) == (True, True)
    term.eval()
    plain = term(Output(8 * cosines), batch_of(torch.tensor(targets)), PROGRESS)
    torch.testing.assert_close(plain, slow(0.0))
    with pytest.raises(ConfigError, match=r"needs angles; set model\.head\.kind to 'cosine'"):
        ArcFace(ArcFace.Config(), CONTEXT)


def test_class_weights_by_frequency_are_scikit_learns(logits: torch.Tensor, targets: torch.Tensor) -> None:
    labels = [0] * 10 + [1] * 5 + [2]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    term = CrossEntropy(CrossEntropy.Config(class_weights="frequency"), CONTEXT)
    assert term.class_weights.tolist() == pytest.approx(expected.tolist())
    plain = sum(
        expected[t] * -row.log_softmax(0)[t].item() for row, t in zip(logits, targets.tolist(), strict=True)
    ) / sum(expected[t] for t in targets.tolist())
    assert term(Output(logits), batch_of(targets), PROGRESS).item() == pytest.approx(plain, rel=1e-5)


def test_class_weights_by_hand() -> None:
    term = CrossEntropy(CrossEntropy.Config(class_weights={"fly": 1.5}), CONTEXT)
    assert term.class_weights.tolist() == [1.0, 1.5, 1.0]
    with pytest.raises(ConfigError, match="moth"):
        CrossEntropy(CrossEntropy.Config(class_weights={"moth": 2.0}), CONTEXT)


def test_focal_against_the_formula(logits: torch.Tensor, targets: torch.Tensor) -> None:
    gamma, alpha = 1.7, (0.3, 1.0, 2.0)
    term = Focal(
        Focal.Config(gamma=gamma, class_weights=dict(zip(CONTEXT.classes, alpha, strict=True))), CONTEXT
    )
    plain = 0.0
    for row, t in zip(logits.detach(), targets.tolist(), strict=True):
        p = math.exp(row[t]) / sum(math.exp(v) for v in row)
        plain -= alpha[t] * (1 - p) ** gamma * math.log(p) / len(targets)
    assert term(Output(logits), batch_of(targets), PROGRESS).item() == pytest.approx(plain, rel=1e-5)


def test_focal_without_gamma_is_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> None:
    focal = Focal(Focal.Config(gamma=0.0), CONTEXT)(Output(logits), batch_of(targets), PROGRESS)
    assert focal.item() == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-6)


def test_huber_against_the_formula(logits: torch.Tensor, targets: torch.Tensor) -> None:
    delta = 0.3
    p = logits.detach().softmax(1)
    plain = 0.0
    for row, t in zip(p, targets.tolist(), strict=True):
        for c in range(3):
            d = abs(row[c].item() - (c == t))
            plain += (0.5 * d * d if d < delta else delta * (d - 0.5 * delta)) / p.numel()
    ours = Huber(Huber.Config(delta=delta), CONTEXT)(Output(logits), batch_of(targets), PROGRESS)
    assert ours.item() == pytest.approx(plain, rel=1e-5)


def test_head_penalty_needs_a_head_that_has_one() -> None:
    with pytest.raises(ConfigError, match="mlp"):
        HeadPenalty(HeadPenalty.Config(), CONTEXT)


def test_unknown_loss_is_named() -> None:
    from foveate.experiment.specification import Experiment

    with pytest.raises(ConfigError, match=r"objective\.x"):
        parse(Experiment, {"objective": {"x": {"kind": "hinge"}}}, source="test")

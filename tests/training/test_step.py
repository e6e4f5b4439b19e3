"""The one step: finders and trials try what training computes; gradients of the pictures; the network asked again."""

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch

from foveate.core.config import parse
from foveate.core.rng import numpy_generator
from foveate.data.batch import Batch
from foveate.models.freeze import apply_trainable
from foveate.objectives import Context, Objective, Progress, objective
from foveate.objectives.classification import CrossEntropy
from foveate.objectives.term import Term, TermConfig
from foveate.training import fit
from foveate.training.batch_size import decide_batch_size
from foveate.training.phase_plan import plan_phase
from foveate.training.precision import Precision
from foveate.training.step import Step, pass_through
from training_helpers import phase, toy_job, weights_of


class InputGradient(Term):
    """Mean square of the gradient of the true class's score by the pictures."""

    class Config(TermConfig):
        kind: Literal["input_gradient"] = "input_gradient"

    needs_input_gradient = True

    def __call__(self, output: Any, batch: Any, progress: Any) -> torch.Tensor:
        score = output.logits.gather(1, batch.targets[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, batch.images, create_graph=True)
        assert gradient.shape == batch.images.shape
        return gradient.square().mean()


class Again(Term):
    """Disagreement between the pictures and their mirror images."""

    class Config(TermConfig):
        kind: Literal["again"] = "again"

    asks_again = True

    def __call__(self, output: Any, batch: Any, progress: Any) -> torch.Tensor:
        return (output.again(batch.images.flip(3)) - output.logits).float().square().mean()


@pytest.fixture(autouse=True)
def _losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objective.LOSSES._classes, "input_gradient", InputGradient)
    monkeypatch.setitem(objective.LOSSES._classes, "again", Again)


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"trainable": "all"}, {"ema": 0.9, "precision": "auto"}),
    ({"trainable": "all", "lr": "auto"}, {"batch_size": "auto"}),
    ({"trainable": "head", "lr": "auto"}, {}),
    ({"trainable": "head", "freeze_bn": False}, {"ema": 0.9, "accumulate": 2}),
]


@pytest.mark.parametrize("config", [InputGradient.Config(weight=10.0), Again.Config()])
@pytest.mark.parametrize(("settings", "training"), CASES)
def test_such_terms_train_in_every_kind_of_phase(
    config: TermConfig, settings: dict[str, Any], training: dict[str, Any]
) -> None:
    job = toy_job(objective=terms(config), phases=[phase(**settings)], **training)
    job = job if job.batch_size else decide_batch_size(job)
    history = fit(job)
    decision = next(d for d in job.decisions.as_list() if d["name"] == "features: p")
    assert decision["value"] == "recomputed"
    assert all(row["val_second"] > 0 for row in history)


def terms(config: TermConfig) -> dict[str, Any]:
    return {"classification": CrossEntropy.Config(), "second": config}


def test_the_penalty_makes_gradients_of_the_pictures_small() -> None:
    free = fit(toy_job(objective=terms(InputGradient.Config(weight=0.0)), phases=[phase(epochs=6)]))
    bound = fit(toy_job(objective=terms(InputGradient.Config(weight=1e4)), phases=[phase(epochs=6)]))
    assert bound[-1]["train_second"] < 0.5 * free[-1]["train_second"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("train", [True, False])
def test_again_is_a_plain_pass_that_leaves_the_running_statistics(precision: str, train: bool) -> None:
    job = toy_job(objective=terms(Again.Config()))
    batch = job.prepare(next(iter(job.feeds.train(8).epoch(0))), Precision("fp32"))
    job.model.train(train)
    twin = copy.deepcopy(job.model)
    other = torch.rand(8, 3, 16, 16)
    with Precision(precision).autocast(torch.device("cpu")):
        output = pass_through(job.objective, job.model, batch)
        twin(batch.images)
        expected = twin(other).logits
    after = weights_of(job)
    assert output.again is not None
    found = output.again(other)
    assert torch.equal(found, expected)
    assert found.dtype == expected.dtype
    assert all(torch.equal(value, after[name]) for name, value in job.model.state_dict().items())
    moved = [n for n, v in twin.state_dict().items() if not torch.equal(v, after[n])]
    assert bool(moved) == train, "a plain second pass does move them in training mode"
    grads = torch.autograd.grad(found.float().sum(), list(job.model.parameters()))
    plain = torch.autograd.grad(expected.float().sum(), list(twin.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(grads, plain, strict=True))


def test_dropout_stays_in_the_second_pass() -> None:
    job = toy_job(objective=terms(Again.Config()), dropout=0.5)
    batch = job.prepare(next(iter(job.feeds.train(8).epoch(0))), Precision("fp32"))
    output = pass_through(job.objective, job.model.eval(), batch)
    job.model.head.train()
    assert output.again is not None
    one, other = output.again(batch.images), output.again(batch.images)
    assert not torch.equal(one, other)


def test_settings_of_such_terms_parse() -> None:
    assert parse(InputGradient.Config, {"weight": 2}, source="the test").weight == 2
    assert Objective(terms(InputGradient.Config()), Context(("a",), (1,))).needs_input_gradient


class Recorder:
    """A batch transform that paints the pictures with one draw and remembers it."""

    def __init__(self) -> None:
        self.draws: list[float] = []

    def __call__(
        self, batch: Batch, model: torch.nn.Module, rng: np.random.Generator, progress: Progress
    ) -> Batch:
        self.draws.append(float(rng.random()))
        assert batch.images.is_floating_point(), "prepared"
        return batch.replace(images=torch.full_like(batch.images, self.draws[-1]))


def test_the_batch_size_finder_runs_the_batch_transforms() -> None:
    seen = Recorder()
    decide_batch_size(toy_job(transforms=(seen,), batch_size="auto", phases=[phase()]))
    assert len(seen.draws) >= 2


def test_the_precision_trial_runs_the_batch_transforms() -> None:
    seen = Recorder()
    job = toy_job(transforms=(seen,), precision="auto", phases=[phase()])
    apply_trainable(job.model, "all")
    plan_phase(job, job.config.phases[0])
    assert len(seen.draws) >= 2


def test_the_learning_rate_finder_shows_both_networks_the_same_draw_and_every_step_another() -> None:
    seen = Recorder()
    job = toy_job(transforms=(seen,), phases=[phase(lr="auto")])
    apply_trainable(job.model, "all")
    plan_phase(job, job.config.phases[0])
    untouched, moved = seen.draws[::2], seen.draws[1::2]
    assert untouched == moved
    assert len(set(moved)) == len(moved) > 10


def test_a_step_is_what_its_parts_come_to() -> None:
    job = toy_job(transforms=(Recorder(),), objective=terms(CrossEntropy.Config(weight=0.5)))
    raw = job.feeds.sample(8)
    step = Step(job, job.objective, Precision("fp32"))
    job.model.eval()
    done = step.train(job.model, raw, Progress(), 3, 4)
    draw = float(numpy_generator(job.seed, "transform", 0, 3, 4).random())
    logits = job.model(torch.full((8, 3, 16, 16), draw)).logits
    loss = torch.nn.functional.cross_entropy(logits, raw.targets)
    assert torch.allclose(done.weighed.total, 1.5 * loss)
    still = step.evaluate(job.model, raw, Progress())
    plain = job.model(raw.prepare("cpu", job.model.mean, job.model.std).images).logits
    assert torch.equal(still.output.logits, plain), "validation sees the pictures as they are"


def test_every_process_draws_for_its_own_pictures() -> None:
    seen = Recorder()
    job = toy_job(transforms=(seen,))
    raw = job.feeds.sample(8)
    job.model.eval()
    for process in (0, 1, 2, 1):
        there = replace(job, accelerator=SimpleNamespace(device=torch.device("cpu"), process_index=process))
        Step(there, job.objective, Precision("fp32")).train(job.model, raw, Progress(), 3, 4)
    assert seen.draws[1] == seen.draws[3]
    assert len(set(seen.draws)) == 3

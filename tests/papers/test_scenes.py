"""The scenes studies say what METHODS of the report say; what a pretext run decides is shared."""

import pytest

from foveate.core.errors import ConfigError
from foveate.pretext import TASKS
from foveate.recipes import STUDIES, finetune, pretext
from foveate.studies.specification import Cell, Study


def cells(study: Study, block: str) -> dict[str, Cell]:
    return {c.arm: c for c in study.cells() if c.block == block and c.seed == 0}


def test_the_supervised_arms_are_the_reports_seven_models() -> None:
    arms = cells(STUDIES["scenes-supervised"](), "held-out")
    assert list(arms) == [*(f"Supervised {k}" for k in range(1, 7)), "Supervised Final"]
    rows = {arm.removeprefix("Supervised "): cell.experiment for arm, cell in arms.items()}
    phases = {arm: e.training.phases[0] for arm, e in rows.items()}
    steps = {arm: [step.__class__.__name__ for step in e.data.augment.build()] for arm, e in rows.items()}
    assert steps["1"] == []
    assert all(steps[k] == ["HorizontalFlip", "Crop", "Rotate"] for k in "23456")
    assert steps["Final"] == ["HorizontalFlip", "Rotate"]
    assert {k for k, e in rows.items() if e.model.head.kind == "deep"} == {"3"}
    weighted = {k for k, e in rows.items() if e.objective["classification"].class_weights != "none"}
    assert weighted == {"4", "Final"}
    hard = rows["4"].objective["classification"].class_weights
    assert hard == {"coast": 1.5, "mountain": 1.5, "opencountry": 1.5}
    assert {k for k, p in phases.items() if p.optimizer.kind == "sgd"} == {"5"}
    assert phases["5"].optimizer.momentum == 0
    assert {k: p.lr for k, p in phases.items()} == {k: 1e-2 if k == "6" else 1e-3 for k in rows}
    for p in phases.values():
        assert (p.epochs, p.optimizer.weight_decay, p.restore_best) == (30, 0, "val_accuracy")
        schedule = p.schedule
        assert (schedule.kind, schedule.metric, schedule.reduce, schedule.patience) == (
            "plateau", "val_accuracy", 0.1, 2,
        )  # fmt: skip
    assert all(e.model.backbone == "efficientnet_b0" and e.model.mean == (0.5,) * 3 for e in rows.values())


@pytest.mark.parametrize("name", ["rotation", "perturbation"])
def test_three_heads_share_one_pretext_run_and_the_published_block_has_its_faults(name: str) -> None:
    study = STUDIES[f"scenes-{name}"]()
    ours, published = cells(study, "held-out"), cells(study, "faithful")
    for block in (ours, published):
        assert len({c.start.key for c in block.values() if c.start}) == 1
    first, faulty = (next(iter(b.values())) for b in (ours, published))
    assert first.start is not None
    assert faulty.start is not None
    assert first.start.experiment.task.kind == name
    assert first.experiment.training.phases[0].freeze_bn is True
    assert faulty.experiment.training.phases[0].freeze_bn is False
    assert (first.experiment.data.split.judge, faulty.experiment.data.split.judge) == ("test", "val")
    assert faulty.start.experiment.data.split.judge == "val"
    if name == "perturbation":
        assert (first.start.experiment.task.faithful, faulty.start.experiment.task.faithful) == (False, True)
    deep = [arm for arm, c in ours.items() if c.experiment.model.head.kind == "deep"]
    assert deep == [f"{name.capitalize()}-classifier 2"]
    assert first.start.experiment.model.head.kind == "linear"


def test_controls_differ_in_the_backbone_alone_and_share_pretext_runs_with_the_pipelines() -> None:
    arms = cells(STUDIES["scenes-controls"](), "")
    assert len(arms) == 8
    plain = {
        arm: (c.experiment.model.head, c.experiment.training, c.experiment.data, c.experiment.objective)
        for arm, c in arms.items()
    }
    assert all(value == plain["ImageNet"] for value in plain.values())
    random = {arm for arm, c in arms.items() if c.experiment.model.weights == "none"}
    assert random == {arm for arm in arms if arm.startswith("random")}
    for name in ("rotation", "perturbation"):
        theirs = next(iter(cells(STUDIES[f"scenes-{name}"](), "held-out").values())).start
        ours = arms[f"ImageNet, then {name}"].start
        assert ours is not None
        assert theirs is not None
        assert ours.key == theirs.key
        assert arms[f"random, then {name}"].start.key != ours.key  # type: ignore[union-attr]


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_has_an_experiment(name: str) -> None:
    made = pretext(name, backbone="resnet18")
    assert made.task_name == name
    assert made.model.weights == "none"
    losses = {term.kind for term in made.objective.values()}
    wanted = {"simclr": {"nt_xent"}, "dino": {"self_distillation"}}
    assert losses == wanted.get(name, {"cross_entropy"})


def test_names_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigError, match="no pretext task 'turning'"):
        pretext("turning")
    with pytest.raises(ConfigError, match="'rotation' has no faithful variant"):
        pretext("rotation", faithful=True)
    with pytest.raises(ConfigError, match="--freeze takes none, backbone, weights"):
        finetune(freeze="melted")

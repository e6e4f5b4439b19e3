"""The fine-grained studies say what the report did, and every arm can be built."""

import pytest
import torch

from foveate.models.build import build_network
from foveate.objectives import Context, Objective, Progress
from foveate.recipes import STUDIES
from foveate.studies.specification import Study

NAMES = ["fine-grained-fbsd", "fine-grained-mmal", "fine-grained-compare"]


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_gives_what_its_losses_are_on(name: str) -> None:
    study: Study = STUDIES[name]()
    cells = study.cells()
    assert len(cells) == len(study.arms) * len(study.seeds)
    assert len({cell.key for cell in cells}) == len(cells), "every arm is an experiment of its own"
    for cell in cells[:: len(study.seeds)]:
        model = cell.experiment.model
        small = model.model_copy(update={"backbone": "foveate_small_cnn", "weights": "none"})
        network = build_network(small, 3, 32, 0).train()
        network.progress = Progress(epoch=1)
        context = Context(
            ("a", "b", "c"), (1, 1, 1), network.head, network.tap_channels, 0, network, network.branches
        )
        objective = Objective(cell.experiment.objective, context)
        with torch.no_grad():
            given = network(torch.rand(2, 3, 32, 32)).branches
        asked = {term.on for term in cell.experiment.objective.values()} - {""}
        assert asked <= set(given)
        assert objective.trains
        if network.branches:
            assert cell.experiment.objective["classification"].weight == 0


def test_the_milestones_are_at_the_shares_of_the_report() -> None:
    for cell in STUDIES["fine-grained-mmal"]().cells():
        (phase,) = cell.experiment.training.phases
        assert [epoch / phase.epochs for epoch in phase.schedule.epochs] == [60 / 200, 100 / 200]
        assert (phase.lr, phase.optimizer.weight_decay, phase.lr_factors) == (1e-3, 1e-4, {})


def test_equal_compute_is_three_times_the_epochs() -> None:
    epochs = {
        cell.arm: cell.experiment.training.phases[0].epochs
        for cell in STUDIES["fine-grained-compare"]().cells()
    }
    assert epochs["plain, three times the epochs"] == 3 * epochs["plain"] == 3 * epochs["MMAL"]


def test_fbsd_as_programmed_is_the_programs() -> None:
    arms = {cell.arm: cell.experiment for cell in STUDIES["fine-grained-fbsd"]().cells()}
    program, paper = arms["as programmed"], arms["as written"]
    (phase,) = program.training.phases
    assert (program.model.network.complement, program.model.network.pool) == (0.001, 5)
    assert (phase.schedule.kind, phase.schedule.half_period) == ("cosine_wave", 200)
    assert (phase.lr, phase.lr_factors) == (2e-3, {"backbone": 0.1})
    assert (paper.model.network.similarity, paper.model.network.pool) == ("inner", 0)
    assert arms["dropout 0.2"].model.network.dropout == 0.2

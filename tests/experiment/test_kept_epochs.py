"""Networks of single epochs stay in the run folder, and another run may begin with one."""

from pathlib import Path

import pytest
import torch

from foveate.experiment import Run, run
from foveate.experiment.known_pictures import learnt_before
from foveate.models.store import load_model
from training_helpers import experiment, phase


@pytest.fixture(scope="module")
def kept(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    asked = experiment(training={"phases": [phase(epochs=5)], "keep_every": 2, "ema": 0.5})
    return run(asked, tree, tmp_path_factory.mktemp("runs") / "kept")


def test_every_second_epoch_is_kept_as_it_was(kept: Run, tree: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in (kept.folder / "epochs").iterdir()) == ["0002", "0004"]
    last = kept.folder / "epochs" / "0004"
    assert load_model(last).card.class_names == kept.catalog.classes
    # A constant rate: the first two of five epochs are those of a run of two.
    short = run(experiment(training={"phases": [phase()], "ema": 0.5}), tree, tmp_path / "short")
    early = load_model(kept.folder / "epochs" / "0002").state_dict()
    assert all(torch.equal(early[name], value) for name, value in short.model.state_dict().items())
    assert kept.experiment.hash() == experiment(training={"phases": [phase(epochs=5)], "ema": 0.5}).hash()


def test_another_run_begins_with_one(kept: Run, tree: Path, tmp_path: Path) -> None:
    start = str(kept.folder / "epochs" / "0004")
    model = {"weights": start, "backbone": None, "keep_head": True}
    trained = {"phases": [phase(epochs=1, lr=1e-9)]}
    other = run(experiment(model=model, training=trained), tree, tmp_path / "other")
    before = load_model(Path(start))
    torch.testing.assert_close(other.model.head.state_dict(), before.head.state_dict())  # type: ignore[union-attr]
    turned = kept.catalog.with_splits(
        [{"train": "test", "test": "train"}.get(sample.split, "") for sample in kept.catalog.samples]
    )
    assert "will be too good" in str(learnt_before(turned, start))
    assert learnt_before(kept.catalog, start) is None

"""The demo, very small: the file that scripts read, both arms, and going on where it stopped."""

import json
from pathlib import Path

import pytest

from foveate.data.synthetic import SyntheticConfig
from foveate.experiment import Experiment, Run
from foveate.recipes import demo
from training_helpers import Heard


@pytest.mark.slow
def test_a_tiny_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = demo.demo_experiment

    def short(guide: str, seed: int) -> Experiment:
        values = real(guide, seed).to_dict()
        values["training"]["phases"][0]["epochs"] = 1
        values["training"]["precision"] = "fp32"
        values["training"]["device"] = "cpu"
        return Experiment.from_dict(values)

    monkeypatch.setattr(demo, "demo_experiment", short)
    monkeypatch.setattr(
        demo, "demo_data", lambda seed: SyntheticConfig(classes=2, train=6, val=3, test=4, size=48, seed=seed)
    )
    result = demo.run_demo(tmp_path / "demo", 0, Heard())
    written = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert written == result
    runs = {arm: Run.open(tmp_path / "demo" / arm) for arm in written}
    assert set(written) == {"plain", "guided"}
    for arm, figures in written.items():
        finished = runs[arm].result["metrics"]["test"]
        assert figures["accuracy"] == finished["accuracy"]
        assert figures["energy_in_mask"] == finished["look"]["energy_in_mask"]["mean"]
        assert 0 <= figures["accuracy_low"] <= figures["accuracy"] <= figures["accuracy_high"] <= 1
        assert 0 <= figures["energy_in_mask"] <= 1
        assert figures["pictures"] == 8
        assert (tmp_path / "demo" / arm / "report.html").is_file()
    plain, guided = (runs[arm].experiment for arm in ("plain", "guided"))
    assert not plain.transforms
    assert guided.transforms
    assert plain.model_copy(update={"objective": {}, "transforms": ()}) == guided.model_copy(
        update={"objective": {}, "transforms": ()}
    ), "the arms differ by the guidance alone"
    assert runs["plain"].result["split_hash"] == runs["guided"].result["split_hash"]

    heard = Heard()
    assert demo.run_demo(tmp_path / "demo", 0, heard) == result
    assert sum("finished already" in message for message in heard.messages) == 2


def test_the_real_one_is_what_the_readme_says() -> None:
    assert demo.demo_data(3).seed == 3
    assert demo.demo_experiment("none", 1).model.backbone == "foveate_small_cnn"
    assert set(demo.ARMS) == {"plain", "guided"}

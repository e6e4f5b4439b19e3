"""A study over several folders: each set on its own, then sets as units."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from drawn import draw_tree
from foveate.cli.main import app
from foveate.core.errors import ConfigError, StudyError
from foveate.reporting.study_folder import measure_study, publish_study
from foveate.studies.analysis import analyse
from foveate.studies.engine import folder_of, run_study
from foveate.studies.results import Metric, StudyResults
from foveate.studies.specification import Study
from foveate.studies.study_reader import over_sets, read_study
from foveate.studies.tables import means_table
from studies.test_engine import Watch, study

ACCURACY = Metric("test.accuracy", "Test accuracy", percent=True)


def results(values: dict[str, dict[int, float]]) -> StudyResults:
    return StudyResults("s", ("a", "b"), "a", (0, 1, 2), (ACCURACY,), {ACCURACY.name: values})


def test_sets_are_units() -> None:
    rng = np.random.default_rng(0)
    sets = {
        f"set {k}": results({arm: dict(enumerate(rng.normal(0.7 + k / 20, 0.02, 3))) for arm in "ab"})
        for k in range(5)
    }
    pooled = over_sets(sets)
    found = analyse(pooled).comparisons[ACCURACY.name]["b"]
    means = [
        fmean(r.values[ACCURACY.name]["b"][s] - r.values[ACCURACY.name]["a"][s] for s in range(3))
        for r in sets.values()
    ]
    t = stats.ttest_1samp(means, 0)
    interval = t.confidence_interval(0.95)
    assert found.n == 5
    assert found.difference == pytest.approx(fmean(means))
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.p == pytest.approx(t.pvalue)
    assert pooled.name_of(3) == "set 3"


def test_only_seeds_that_all_arms_have_count_and_a_set_without_an_arm_does_not() -> None:
    some = results({"a": {0: 0.5, 1: 0.7, 2: 0.9}, "b": {1: 0.8, 2: 0.9}})
    none = results({"a": {0: 0.5}, "b": {}})
    pooled = over_sets({"some": some, "none": none})
    values = pooled.values[ACCURACY.name]
    assert values == {"a": {0: pytest.approx(0.8)}, "b": {0: pytest.approx(0.85)}}


def test_what_a_pooled_table_leaves_out_is_said() -> None:
    loss = Metric("test.nll", "Test label loss", better="lower")
    whole = results({"a": {0: 0.5, 1: 0.7, 2: 0.9}, "b": {0: 0.6, 1: 0.8, 2: 0.9}})
    more = replace(
        whole, metrics=(ACCURACY, loss), values={**whole.values, loss.name: {"a": {0: 1.0}, "b": {0: 2.0}}}
    )
    some = results({"a": {0: 0.5, 1: 0.7}, "b": {1: 0.8, 2: 0.9}})
    failed = {(arm, seed): "no pictures" for arm in "ab" for seed in range(3)}
    broken = replace(whole, metrics=(), values={}, failures=failed)
    half = results({"a": {0: 0.5, 1: 0.5, 2: 0.5}, "b": {}})
    pooled = over_sets({"broken": broken, "whole": whole, "more": more, "some": some, "half": half})
    assert pooled.metrics == (ACCURACY,)
    assert pooled.values[ACCURACY.name] == {
        "a": {1: pytest.approx(0.7), 2: pytest.approx(0.7), 3: pytest.approx(0.7)},
        "b": {1: pytest.approx(2.3 / 3), 2: pytest.approx(2.3 / 3), 3: pytest.approx(0.8)},
    }
    assert pooled.notes[1:] == (
        "broken counts for nothing, since not every arm has finished there; 6 cells failed.",
        "some counts with 1 of 3 seeds, since not every arm has finished there.",
        "half counts for nothing, since not every arm has finished there.",
        "Not every set measures, so that only the tables of those that do show: Test label loss.",
    )
    table = means_table(pooled, analyse(pooled))
    assert set(pooled.notes) <= set(table.notes)
    assert not any("not finished." in note for note in table.notes)


def test_a_folder_is_one_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'a' and 'b' are one folder"):
        study().on({"a": tmp_path, "b": tmp_path / "x" / ".."})


def test_names_of_sets_are_folders_names(tmp_path: Path) -> None:
    for name in ("", "a/b", "..", "all sets"):
        with pytest.raises(ConfigError, match="set's name"):
            study().on({name: tmp_path})


@pytest.mark.slow
def test_a_study_on_two_folders(tree: Path, tmp_path: Path) -> None:
    other = draw_tree(tmp_path / "other", classes=2, each=12)
    made = study(seeds=[0], data={"first": str(tree), "second": str(other)})
    with pytest.raises(StudyError, match="not both"):
        run_study(made, tree, tmp_path / "s")
    watch = Watch()
    out = run_study(made, None, tmp_path / "s", jobs=0, observer=watch)
    assert len(watch.computed) + len(watch.copied) == 4
    places = {cell.key: folder_of(out, cell) for cell in made.cells()}
    assert sorted({place.parent.name for place in places.values()}) == ["first", "second"]
    assert all((place / "result.json").is_file() for place in places.values())
    found = read_study(out)
    assert list(found) == ["first", "second", "all sets"]
    alone = run_study(study(seeds=[0]), tree, tmp_path / "alone", jobs=0)
    assert found["first"].values == read_study(alone)[""].values, "a set is what a study of its own is"
    pooled = found["all sets"].values["test.accuracy"]["weight 1"]
    assert pooled == {
        k: found[name].values["test.accuracy"]["weight 1"][0] for k, name in enumerate(("first", "second"))
    }
    again = Watch()
    run_study(made, None, out, jobs=0, observer=again)
    assert (again.computed, len(again.kept)) == ([], 4)
    page = publish_study(out, measured=measure_study(out)).read_text(encoding="utf-8")
    assert "Over the sets" in page
    assert list((out / "figures").glob("forest-3-1.svg"))
    table = (out / "table.md").read_text(encoding="utf-8")
    assert "all sets: mean and standard deviation over 2 sets" in table


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["birds", "plants"], {"birds": "birds", "plants": "plants"}),
        (["a=x/birds", "b=y/birds"], {"a": "x/birds", "b": "y/birds"}),
        (["x/birds", "y/birds"], "two sets are called 'birds'"),
    ],
)
def test_sets_of_the_command_line(given: list[str], expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Study] = []

    def stop(design: Study, data: Path | None, *rest: Any, **more: Any) -> None:
        seen.append(design)
        raise KeyboardInterrupt

    monkeypatch.setattr("foveate.studies.engine.run_study", stop)
    flags = [part for text in given for part in ("--data", text)]
    answer = CliRunner().invoke(app, ["study", "run", "learn2look-weights", *flags, "--out", "o"])
    if isinstance(expected, str):
        assert expected in answer.output
        return
    assert {name: str(path) for name, path in seen[0].data.items()} == expected
    assert "x 2 sets x 5 seeds = 50 cells" in answer.output

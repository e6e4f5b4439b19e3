"""The same pictures under every arm: chosen by the stated rule, with the maps of the arms' own networks."""

import re
from pathlib import Path

import numpy as np
import pytest

from foveate.core.errors import StudyError
from foveate.core.manifest import WEIGHTS
from foveate.experiment import Run
from foveate.reporting.study_folder import publish_study
from foveate.studies.arm_pictures import ARMS, COUNT, FOLDER, arm_pictures, choose_pictures
from foveate.studies.engine import folder_of, run_study
from foveate.studies.specification import Study
from training_helpers import BASE

PHASE = {"name": "all", "epochs": 2, "lr": 0.003}


def test_half_is_drawn_and_half_is_where_arms_disagree_most() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random((3, 40))
    rows, drawn = choose_pictures(probability, "a split")
    assert drawn.tolist() == [True] * (COUNT // 2) + [False] * (COUNT - COUNT // 2)
    assert len(set(rows.tolist())) == COUNT
    others, _ = choose_pictures(rng.random((3, 40)), "a split")
    assert rows[drawn].tolist() == others[drawn].tolist(), "whatever the arms answer"
    left = [k for k in range(40) if k not in rows[drawn]]
    spread = [np.std([arm[k] for arm in probability]) for k in range(40)]
    assert rows[~drawn].tolist() == sorted(left, key=lambda k: -spread[k])[: COUNT - COUNT // 2]
    few, _ = choose_pictures(probability[:, :3], "a split")
    assert sorted(few.tolist()) == [0, 1, 2]


@pytest.fixture(scope="module")
def done(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    base = {name: value for name, value in BASE.items() if name != "seed"}
    base["training"] = {**base["training"], "phases": [PHASE]}
    base["data"] = {**base["data"], "split": {"val": 0.2, "test": 0.25}}
    arms = {"plain": {}, "slow": {"training.phases.0.lr": 1e-6}}
    study = Study.from_dict(
        {"name": "same", "base": base, "arms": arms, "seeds": [7, 8], "keep_weights": False}
    )
    return study, run_study(study, tree, tmp_path_factory.mktemp("studies") / "same", jobs=0)


def test_they_are_kept_though_the_networks_are_not(done: tuple[Study, Path]) -> None:
    study, folder = done
    runs = {cell.key: Run(folder_of(folder, cell)) for cell in study.cells()}
    assert not any((run.folder / WEIGHTS).exists() for run in runs.values())
    (file,) = (folder / FOLDER).iterdir()
    with np.load(file) as kept:
        arrays = dict(kept)
    first = [cell for cell in study.cells() if cell.seed == 7]
    assert file.stat().st_size < 200_000 * len(first)
    assert set(arrays) == {"path", "drawn", "image squash", *(cell.key for cell in first)}
    shared = 0
    for cell in first:
        run = runs[cell.key]
        assert set(arrays["path"]) <= set(run.predictions.of_split("test").path)
        assert run.maps is not None
        assert run.result["peak_memory"] > 20_000_000
        for index, values in zip(run.maps.index, run.maps.maps["class map"], strict=True):
            for k in np.flatnonzero(arrays["path"] == run.catalog.samples[index].path):
                assert np.allclose(arrays[cell.key][k], values, atol=2e-3)
                shared += 1
    assert shared == len(first) * len(arrays["path"]), (
        "so few test pictures are all in the runs' own galleries"
    )


def test_what_is_damaged_or_of_other_pictures_is_not_shown_but_looked_at_again(
    done: tuple[Study, Path], tmp_path: Path
) -> None:
    study, folder = done
    runs = {cell.key: Run(folder_of(folder, cell)) for cell in study.cells()}
    (whole,) = (folder / FOLDER).iterdir()
    with np.load(whole) as kept:
        arrays = dict(kept)
    file = tmp_path / FOLDER / whole.name
    file.parent.mkdir()
    damaged: list[dict[str, np.ndarray]] = [
        {**arrays, "image squash": arrays["image squash"][:2]},
        {name: values for name, values in arrays.items() if name != "image squash"},
        {**arrays, "path": np.array([f"gone/{k}.png" for k in range(len(arrays["path"]))])},
        {},
    ]
    for values in damaged:
        np.savez(file, allow_pickle=False, **values)
        with pytest.raises(StudyError, match="was not kept"):
            arm_pictures(study, tmp_path, "", runs)
    file.write_bytes(whole.read_bytes())
    found = arm_pictures(study, tmp_path, "", runs)
    assert found is not None
    assert found.path.tolist() == arrays["path"].tolist()


def test_the_report_shows_them_with_the_answers(done: tuple[Study, Path]) -> None:
    study, folder = done
    page = publish_study(folder).read_text(encoding="utf-8")
    section = page[page.index('<section id="same-pictures">') :]
    section = section[: section.index("</section>")]
    articles = section.split("<article>")[1:]
    assert len(articles) == COUNT
    assert [("drawn at random" in one, "arms disagree" in one) for one in articles] == (
        [(True, False)] * (COUNT // 2) + [(False, True)] * (COUNT - COUNT // 2)
    )
    for cell in (cell for cell in study.cells() if cell.seed == 7):
        table = Run(folder_of(folder, cell)).predictions
        for article in articles:
            path = re.sub("<wbr>", "", re.findall(r'class="file">(.*?)</span>', article)[0])
            row = table.path.tolist().index(path)
            (caption,) = (
                c for c in re.findall(r"<figcaption>(.*?)</figcaption>", article, re.DOTALL) if cell.arm in c
            )
            assert ("✓" in caption) == (table.prediction[row] == table.label[row])
            share = f"{100 * table.probabilities[row, table.label[row]]:.0f}\u202f%"
            assert share in caption or "&lt;" in caption
    costs = page[page.index('<section id="arms">') : page.index('<section id="tables">')]
    assert "Memory" in costs
    assert len(re.findall(r"\d MB</td>", costs)) == len(study.arms) < ARMS
    (folder / FOLDER / "1.npz").unlink()
    page = publish_study(folder).read_text(encoding="utf-8")
    assert "They cannot be shown: the network of &#39;plain, seed 7&#39; was not kept." in page

"""The same test pictures under every arm: a few of the study's first pair, with the class map of each arm's network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.core.errors import FoveateError, RunError, StudyError
from foveate.core.manifest import WEIGHTS
from foveate.core.rng import numpy_generator
from foveate.evaluation.gallery import compute_maps, read_arrays, write_arrays
from foveate.experiment import Run
from foveate.experiment.subjects import subject_of_run
from foveate.studies.specification import Cell, Study

FOLDER = "arm_pictures"
COUNT = 8
ARMS = 24
"""The first arms of a study with more."""
SIDE = 160
"""Of a kept picture in pixels; class maps are kept as they are, a few places wide."""


@dataclass(frozen=True)
class ArmPictures:
    """n pictures."""

    path: np.ndarray
    """(n,) str."""
    drawn: np.ndarray
    """(n,) bool: at random; the others are those on which the arms disagree most."""
    images: Mapping[str, np.ndarray]
    """{data.fit: (n, h, w, 3) uint8}: as networks see them."""
    maps: Mapping[str, np.ndarray]
    """{key of a cell: (n, h, w) in [0, 1]}: class map of the true class."""


def first_cells(study: Study, block: str, runs: Mapping[str, Run]) -> list[Cell]:
    """The finished cells of a table's first pair that have test pictures, an arm each."""
    cells = [cell for cell in study.cells() if cell.block == block]
    first = [cell for cell in cells if cell.pair == cells[0].pair and cell.experiment.task is None][:ARMS]
    return [cell for cell in first if runs[cell.key].finished and "test" in runs[cell.key].predictions.splits]


def choose_pictures(probability: np.ndarray, *seed: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n,) of ``COUNT`` pictures or fewer, and which were drawn at random: half, by ``seed``; the others are those
    whose probability of the true class differs most over the arms.

    Args:
        probability: (arms, pictures) of the true class.
    """
    order = numpy_generator("arm pictures", *seed).permutation(probability.shape[1])
    drawn, rest = order[: COUNT // 2], order[COUNT // 2 :]
    most = rest[np.argsort(-probability.std(axis=0)[rest], kind="stable")][: COUNT - COUNT // 2]
    return np.concatenate([drawn, most]), np.arange(len(drawn) + len(most)) < len(drawn)


def arm_pictures(study: Study, folder: Path, block: str, runs: Mapping[str, Run]) -> ArmPictures | None:
    """Those that were kept, or chosen and kept now; None where there are no two arms to look at.

    Args:
        runs: {key of a cell: its run}.

    Raises:
        StudyError: a network was not kept.
        FoveateError: pictures are gone; a network has no class map at its tap.
    """
    cells = first_cells(study, block, runs)
    if len({cell.key for cell in cells}) < 2:
        return None
    file = folder / FOLDER / f"{study.block_names.index(block) + 1}.npz"
    if (kept := _kept(file, cells, runs)) is not None:
        return kept
    without = [cell for cell in cells if not (runs[cell.key].folder / WEIGHTS).is_file()]
    if without:
        raise StudyError(f"the network of '{without[0]}' was not kept")
    found = _look(cells, runs)
    images = {f"image {fit}": values for fit, values in found.images.items()}
    write_arrays(file, {"path": found.path, "drawn": found.drawn, **images, **found.maps})
    return found


def _kept(file: Path, cells: Sequence[Cell], runs: Mapping[str, Run]) -> ArmPictures | None:
    """Those in the file, if it is whole and of these cells as they are now."""
    try:
        kept = read_arrays(file, ("path", "drawn"))
    except RunError:
        return None
    path, drawn = kept.pop("path"), kept.pop("drawn")
    images = {name[6:]: kept.pop(name) for name in list(kept) if name.startswith("image ")}
    tested = (set(runs[cell.key].predictions.of_split("test").path.tolist()) for cell in cells)
    fits = (
        set(kept) == {cell.key for cell in cells}
        and set(images) == {cell.experiment.data.fit for cell in cells}
        and {len(values) for values in (drawn, *images.values(), *kept.values())} == {len(path)}
        and set(path.tolist()) <= set.intersection(*tested)
    )
    return ArmPictures(path, drawn, images, kept) if fits else None


def keep_arm_pictures(study: Study, folder: Path) -> None:
    """Look at the networks of the first pair before they are removed, as ``keep_weights`` asks for."""
    runs = {cell.key: Run(folder / "cells" / cell.key) for cell in study.cells()}
    for block in study.block_names:
        try:
            arm_pictures(study, folder, block, runs)
        except FoveateError:
            continue  # the report, which asks again, says why
    for run in runs.values():
        (run.folder / WEIGHTS).unlink(missing_ok=True)


def _look(cells: Sequence[Cell], runs: Mapping[str, Run]) -> ArmPictures:
    tables = [runs[cell.key].predictions.of_split("test") for cell in cells]
    shared = sorted(set.intersection(*(set(table.path.tolist()) for table in tables)))
    true = []
    for table in tables:
        row_of = {path: row for row, path in enumerate(table.path.tolist())}
        rows = [row_of[path] for path in shared]
        true.append(table.probabilities[rows, table.label[rows]])
    chosen, drawn = choose_pictures(np.stack(true), runs[cells[0].key].result["split_hash"])
    paths = [shared[row] for row in chosen]
    images: dict[str, np.ndarray] = {}
    maps = {}
    for cell in cells:
        run = Run.open(runs[cell.key].folder)
        row_of = {sample.path: row for row, sample in enumerate(run.catalog.samples)}
        subject = subject_of_run(run, run.catalog, "cpu", tta="none")
        batches = map(subject.shown, subject.batches(np.array([row_of[path] for path in paths]), ""))
        found = compute_maps(run.model, batches, device="cpu", tap=run.experiment.evaluation.look_tap)
        maps[cell.key] = found.maps["class map"].astype(np.float16)
        if run.experiment.data.fit not in images:
            images[run.experiment.data.fit] = np.stack([_small(image) for image in found.image])
    return ArmPictures(np.array(paths), drawn, images, maps)


def _small(image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(image)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=None)
    return np.asarray(picture)

"""The arms of a block are tested on the same pictures; a study in which they would not be is refused at once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from foveate.core.errors import FoveateError, StudyError
from foveate.data.catalog import UNLABELLED, Catalog
from foveate.evaluation.subject import judged_split
from foveate.experiment.prepare import prepare
from foveate.studies.specification import Cell
from foveate.training import Observer


def judged(catalog: Catalog) -> set[tuple[str, int]]:
    """Path and label of the test pictures; of the validation pictures where there is no test."""
    part = judged_split(catalog)
    return {(s.path, s.label) for s in catalog.samples if s.split == part and s.label != UNLABELLED}


def refuse_other_tests(cells: Sequence[Cell], folders: Mapping[str, Path], quarantine: bool) -> None:
    """Of each block the first seed is divided as its arms ask for it, where they ask for different things.

    Raises:
        StudyError: two arms would not be tested on the same pictures.
    """
    pairs: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        same = pairs[cell.place, cell.block]
        if not same or cell.pair == same[0].pair:
            same.append(cell)
    for (place, _), same in pairs.items():
        asked: dict[str, Cell] = {}
        for cell in same:
            data = cell.experiment.data
            asked.setdefault(data.split.model_dump_json() + data.layout.model_dump_json(), cell)
        tested: list[tuple[Cell, set[tuple[str, int]]]] = []
        for cell in asked.values() if len(asked) > 1 else ():
            experiment = cell.experiment
            try:
                found = prepare(
                    folders[place], experiment.data, quarantine=quarantine, observer=Observer(),
                    labels=experiment.task is None,
                )  # fmt: skip
            except FoveateError:
                continue  # told when that cell is tried
            tested.append((cell, judged(found.catalog)))
            if tested[0][1] != tested[-1][1]:
                raise StudyError(
                    f"The cells '{tested[0][0]}' and '{cell}' would be tested on other pictures "
                    f"({len(tested[0][1])} and {len(tested[-1][1])}, {len(tested[0][1] & tested[-1][1])} of them the "
                    "same), so they could not be compared: an arm changes data.split or data.layout (make it a block)."
                )

"""Arms that learn from masks, on pictures that have none: said before anything is trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from foveate.core.errors import FoveateError, StudyError
from foveate.experiment.consumed import needs_own_masks
from foveate.experiment.prepare import prepare
from foveate.studies.specification import Cell
from foveate.training import Observer


def refuse_absent_masks(cells: Sequence[Cell], folders: Mapping[str, Path], quarantine: bool) -> None:
    """Look at each set once.

    Raises:
        StudyError: there is no mask in a set, and arms that need some.
    """
    for place, folder in folders.items():
        needing = [cell for cell in cells if cell.place == place and needs_own_masks(cell.experiment)]
        if not needing:
            continue
        try:
            found = prepare(folder, needing[0].experiment.data, quarantine=quarantine, observer=Observer())
        except FoveateError:
            continue  # told when that cell is tried
        if not found.catalog.has_masks:
            arms = dict.fromkeys(f"'{cell.arm}'" for cell in needing)
            raise StudyError(
                f"No picture in {folder} has a mask, from which {', '.join(arms)} would learn: let foveate masks "
                "propose make some, or name the arms that need none, each with --arm."
            )

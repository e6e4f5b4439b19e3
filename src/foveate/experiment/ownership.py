"""A run folder belongs to one experiment and one set of pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foveate.core.errors import RunError
from foveate.core.files import write_text
from foveate.core.lock import alone, entries
from foveate.data.catalog import Catalog
from foveate.experiment.run_folder import RunFolder
from foveate.experiment.specification import Experiment


@contextmanager
def hold(out: Path) -> Iterator[None]:
    """Inside the block no other process works in the run folder ``out``.

    Raises:
        RunError: ``out`` is no place for a run; it is left as it was.
        BusyError: another process is at work there.
    """
    _refuse_foreign(out)
    with alone(out):
        yield


def _refuse_foreign(out: Path) -> None:
    if not (out / "experiment.yaml").is_file() and entries(out):
        raise RunError(f"{out} is not empty and is not a run folder; choose another --out.")


def claim(experiment: Experiment, out: Path) -> None:
    """Make ``out`` this experiment's folder, or check that it is.

    Raises:
        RunError: it holds something else; the first setting that differs is named.
    """
    _refuse_foreign(out)
    file = out / "experiment.yaml"
    if file.is_file():
        # Without these nothing was learnt: an earlier command was refused or stopped before its first epoch.
        begun = any((out / name).exists() for name in ("history.csv", "checkpoint", "result.json"))
        found = RunFolder.open(out).experiment if begun else experiment
        if found.hash() != experiment.hash():
            name, old, new = first_difference(found.to_dict(), experiment.to_dict())
            if name.endswith(".epochs") and RunFolder(out).finished:
                raise RunError(
                    f"{out} is finished with {name} {old}, and a finished run stays as it is. To train its network "
                    f"further, start a new run from it: foveate train DATA --from {out} --out NEW."
                )
            raise RunError(
                f"{out} holds another experiment: {name} is {old!r} there and {new!r} now. Choose another --out, "
                "or repeat the settings of the run that is there."
            )
        if begun or file.read_bytes() == experiment.to_yaml().encode():
            return
        for name in ("environment.json", "catalog.csv", "decisions.json"):  # of the other settings
            (out / name).unlink(missing_ok=True)
    write_text(file, experiment.to_yaml())


def first_difference(old: Any, new: Any, path: str = "") -> tuple[str, Any, Any]:
    """Where two trees of plain values first differ: (dotted path, value there, value here)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            if old.get(name) != new.get(name):
                return first_difference(old.get(name), new.get(name), f"{path}.{name}".lstrip("."))
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            if a != b:
                return first_difference(a, b, f"{path}.{i}")
    return path, old, new


def check_same_pictures(out: Path, catalog: Catalog) -> None:
    """Refuse to go on with a run that began on other pictures.

    Raises:
        RunError: the catalog's hash is another one.
    """
    file = out / "environment.json"
    if not file.is_file():
        return
    before = RunFolder(out).environment["catalog_hash"]
    if before != catalog.hash:
        raise RunError(
            f"The pictures changed since the run in {out} began (catalog {before} then, {catalog.hash} now). "
            "Restore them, or choose another --out."
        )

"""foveate look"""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from foveate.cli.command import AtLeastOne, command
from foveate.cli.flags import LAYOUT, Typed, layout_of, with_assignments, words
from foveate.cli.screen import Cell, open_run, print_in_parts, say, table, tell, watched
from foveate.core.errors import ConfigError


@command(*LAYOUT)
def look(
    run: Path, *, typed: Typed, data: Path | None = None, methods: str = "gradcam,gradcam++,layercam,eigencam",
    metrics: str | None = None, target: str = "predicted", layer: str | None = None, limit: AtLeastOne = None,
    out: Path | None = None, set_: list[str] | None = None, seed: int = 0, device: str = "auto",
) -> None:  # fmt: skip
    """Is the map right: score explanation methods against masks, against the network, and against controls.

    Args:
        data: Another labelled data set; default: the run's own test pictures.
        methods: Explanation methods joined by commas, or all (foveate list explainers).
        metrics: localisation, faithfulness, sanity; default: the first two, or faithfulness where there are no masks.
        target: The class that is explained: predicted or true.
        layer: Feature map of class maps: first, second, last or a module.
        out: Also write look.csv, look_pictures.csv and look.json here.
        set_: One more setting (see docs/settings.md), as faithfulness.fill=black.
    """
    from foveate.core.lock import alone
    from foveate.experiment import Run
    from foveate.explanation import EXPLAINERS

    flags: dict[str, Any] = {
        "target": target, "layer": layer, "seed": seed, "limit": limit, "device": device,
        "metrics": None if metrics is None else tuple(words(metrics)),
    }  # fmt: skip
    values = with_assignments(Run.look, flags, set_)
    names = tuple(EXPLAINERS) if methods == "all" else tuple(words(methods))
    if not names:
        raise ConfigError("--methods is empty; name at least one of foveate list explainers.")
    opened = open_run(run)
    masks = typed.pop("masks", [])
    with watched() as screen, alone(out) if out is not None else nullcontext():
        found = opened.look(
            data, methods=names, masks=masks, layout=layout_of(typed, opened.experiment.data.layout), told=tell,
            progress=partial(screen.progress, "Looking"), **values,
        )  # fmt: skip
        if out is not None:
            found.save(out)
    _print(found)
    if out is not None:
        say("Written: ", out / "look.csv", ", look_pictures.csv and look.json beside it")


def _print(found: Any) -> None:
    """Print a ``LookTable``."""
    from foveate.evaluation.explainer_scores import GROUPS

    about, bold = found.settings, "bold"
    say(
        (f"{len(found.paths)} pictures", bold), f" ({about['split']}), {about['masked']} with a mask; maps of the ",
        (found.target, bold), " class; class maps at layer ", (about.get("layer") or "last", bold),
    )  # fmt: skip
    cells = found.cells()
    for group, scores in GROUPS.items():
        if group in about["metrics"]:
            measured = [score for score in scores if any(score.name in row for row in cells.values())]
            print_in_parts(partial(_scores, found, cells, group, measured), measured)
    if found.cascade:
        print_in_parts(partial(_cascade, found.cascade), list(next(iter(found.cascade.values()))))
    say(
        "Mean ± 95 % interval (over pictures; the wider side). ↓ lower is better. Dim: not clearly better "
        "than the best of the controls below the line. n: maps that are not constant.",
        style="dim",
    )
    for name, why in {**found.skipped, **found.reasons()}.items():
        say((f"{name} was not measured:", "yellow"), f" {why.rstrip('.')}.")


_TITLE: dict[str, Any] = {"title_justify": "left", "title_style": "bold", "pad_edge": True}


def _scores(
    found: Any, cells: dict[str, dict[str, Any]], group: str, measured: Sequence[Any], part: Sequence[Any]
) -> Table:
    """The scores ``part`` of the ``measured`` ones, a row for each method and control."""
    shown = table(("*method", "s/picture", "n"), title=group.capitalize(), **_TITLE)
    shown.columns[0].no_wrap = True
    for score in part:
        arrow = " ↓" if score.better == "lower" else ""
        longest = max(map(len, score.title.split()))
        shown.add_column(score.title + arrow, justify="right", max_width=max(11, longest))
    rows = [row for row in cells if row in found.asked or any(score.name in cells[row] for score in measured)]
    for row, following in zip_longest(rows, rows[1:]):
        method = row in found.asked
        count = max([cells[row][score.name].n for score in measured if score.name in cells[row]], default=0)
        seconds = f"{found.seconds[row]:.3f}" if row in found.seconds else ""
        entries = [Text(*_entry(found, cells, row, score, method)) for score in part]
        last = method and following is not None and following not in found.asked
        shown.add_row(Text(row), seconds, str(count), *entries, end_section=last)
    return shown


def _entry(
    found: Any, cells: dict[str, dict[str, Any]], row: str, score: Any, method: bool
) -> tuple[str, str]:
    """Text and style."""
    cell = cells[row].get(score.name)
    if cell is None:
        return "-", ""
    text = f"{cell.mean:.2f}"
    if cell.low is None or not method:
        return text, ""
    text += f"±{max(cell.mean - cell.low, cell.high - cell.mean):.2f}".replace("±0.", "±.")
    controls = [cells[name][score.name].mean for name in found.controls if score.name in cells[name]]
    if not controls:
        return text, ""
    clear = cell.low > max(controls) if score.better != "lower" else cell.high < min(controls)
    return text, "" if clear else "dim"


def _cascade(cascade: dict[str, dict[str, float]], names: Sequence[str]) -> Table:
    title = "As weights become random, from the classifier down: Spearman with the network's own maps"

    def cells(place: str, row: dict[str, float]) -> list[Cell]:
        return [place, *(f"{row[name]:.2f}" if name in row else "-" for name in names)]

    return table(("*random", *names), (cells(*item) for item in cascade.items()), title=title, **_TITLE)

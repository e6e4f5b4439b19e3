"""foveate check"""

from pathlib import Path

import typer

from foveate.cli.command import command
from foveate.cli.flags import LAYOUT, Typed


@command(*LAYOUT)
def check(
    data: Path, *, typed: Typed, json: Path | None = None, csv: Path | None = None, html: Path | None = None,
    split: Path | None = None,
) -> None:  # fmt: skip
    """Find what is wrong with the pictures, and which trivial cues give the class away.

    Exit status 1 when there are errors, 0 when there are warnings or nothing.

    Args:
        csv: Also write the problems as CSV.
        html: Also write a page: classes, samples of each, what was found.
        split: Also look for leaks between the splits of this file.
    """
    from foveate.cli.check_screen import check_pictures

    raise typer.Exit(check_pictures(data, typed, json=json, csv=csv, html=html, split=split))

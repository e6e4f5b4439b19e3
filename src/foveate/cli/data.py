"""foveate check, foveate split, foveate data get"""

import shlex
from pathlib import Path

import typer

from foveate.cli.command import command
from foveate.cli.flags import LAYOUT, Typed, as_typed, layout_of
from foveate.cli.screen import say, watched
from foveate.core.errors import ConfigError


@command(*LAYOUT)
def check(
    data: Path, *, typed: Typed, json: Path | None = None, csv: Path | None = None, html: Path | None = None,
    split: Path | None = None, labels: str | None = None,
) -> None:  # fmt: skip
    """Find what is wrong with the pictures, and which trivial cues give the class away.

    Exit status 1 when there are errors, 0 when there are warnings or nothing.

    Args:
        csv: Also write the problems as CSV.
        html: Also write a page: classes, samples of each, what was found.
        split: Also look for leaks between the splits of this file.
        labels: Also name pictures whose label this network doubts: a timm name, a weights file, or a run folder (the
            weights that it started from).
    """
    from foveate.cli.check_screen import check_pictures

    raise typer.Exit(check_pictures(data, typed, json=json, csv=csv, html=html, split=split, labels=labels))


@command(*LAYOUT)
def split(
    data: Path, *, out: Path | None = None, typed: Typed, folds: int | None = None, val: float = 0.15,
    test: float = 0.15, seed: int = 0, folders: Path | None = None,
) -> None:  # fmt: skip
    """Divide the pictures, stratified and by group, into a file that every run of a comparison shares.

    Args:
        out: The split file to write.
        folders: A new folder for other programs: train, val, test and in them the classes, by hard links (copies where
            the disk has none).
        folds: Cross-validation folds instead of one test split.
        val: Share for validation.
        test: Share for the test.
    """
    import numpy as np

    from foveate.data.audit.auditor import checked
    from foveate.data.cache_config import CacheConfig
    from foveate.data.discover import discover
    from foveate.data.split import SplitConfig, save_split, split_hash
    from foveate.data.split import split as divide
    from foveate.data.split_tree import write_tree
    from foveate.experiment.prepare import keep_together

    if out is None and folders is None:
        raise ConfigError("Say what to write: a split file (--out split.csv), or folders (--folders OUT).")
    if folds is not None and folders is not None:
        raise ConfigError("--folders takes one split into train, val and test; leave --folds out.")
    found = discover(data, layout_of(typed))
    with watched() as screen:
        alike = checked(found, CacheConfig(), screen.progress)["alike"]
    # As training does: a file that divides copies would be refused by the training that follows it.
    catalog = keep_together(found.catalog, alike)
    result = divide(catalog, SplitConfig(folds=folds, val=val, test=test, seed=seed))
    if out is not None:
        save_split(result.catalog, out, result.folds)
    if folders is not None:
        links, copies = write_tree(result.catalog, folders)
    for note in (*found.notes, *result.notes):
        say(note, style="dim")
    if result.folds is not None:
        sizes = np.bincount([fold for fold in result.folds if fold >= 0])
        say(f"{len(sizes)} folds of {', '.join(map(str, sizes))} pictures")
    else:
        parts = ("train", "val", "test")
        say(", ".join(f"{part} {len(result.catalog.indices(part, labelled=False))}" for part in parts))
    if catalog is not found.catalog and alike:
        say(f"{len(alike)} sets of equal or nearly alike pictures were kept together.", style="dim")
    if folders is not None:
        left = len(result.catalog) - links - copies
        say(
            f"{links} hard links and {copies} copies in ",
            folders,
            f"; {left} without a class left out" if left else "",
        )
    if out is not None:
        say(out, f", hash {split_hash(result.catalog)}")
        lacking = sum(not sample.mask for sample in result.catalog.samples)
        if result.catalog.has_masks and lacking:
            say(
                f"Pictures without a mask: {lacking}; to have some proposed first: foveate masks propose "
                f"{as_typed(data, typed)} --from-masks --out PROPOSED"
            )
        if result.folds is None:
            say(f"Next: foveate train {as_typed(data, typed)} --split {shlex.quote(str(out))} --out RUN")


@command()
def get(name: str = "", *, to: Path | None = None) -> None:
    """Fetch a published data set through torchvision. No other command fetches pictures.

    Args:
        name: The data set; without one, those that can be fetched are listed.
        to: The folder to fetch it into.
    """
    from foveate.data.layouts.download import FETCHED, download, find

    if not name:
        for key, layout in FETCHED.items():
            say(f"{key:14}  {layout.name}; licence: {layout.licence}; {layout.page}")
        return
    layout = find(name)
    if to is None:
        raise ConfigError(f"Say where {layout.name} goes: foveate data get {name} --to FOLDER.")
    say(f"{layout.name}: {layout.page}\nLicence: {layout.licence}.")
    download(layout, to)
    say(f"It is in {to}. Next: foveate check {to}")

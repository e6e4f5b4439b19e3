"""A split as folders that other programs read: OUT/train/<class>/<picture>, val, test."""

import os
import shutil
from collections import Counter
from pathlib import Path

from foveate.core.errors import DataError
from foveate.core.lock import check_new
from foveate.data.catalog import UNLABELLED, Catalog


def write_tree(catalog: Catalog, out: Path) -> tuple[int, int]:
    """Hard links to all labelled pictures, copies where the disk cannot link; whole, or not there.

    Returns:
        Links and copies.

    Raises:
        DataError: ``out`` holds files, or lies among the pictures; a class cannot be a folder's name; two pictures
            or classes would get one name; a picture is gone.
    """
    check_new(out)
    out = Path(os.path.realpath(out))
    if out.is_relative_to(os.path.realpath(catalog.root)):
        raise DataError(f"{out} lies among the pictures of {catalog.root}; name a folder elsewhere.")
    if out == Path.cwd() or os.path.ismount(out):
        raise DataError(f"{out} is a disk, or the folder that you are in; name a new folder inside it.")
    places = _places(catalog)
    temporary, links = out.with_name(f".{out.name}.{os.getpid()}.tmp"), 0
    try:
        for row, place in places.items():
            source, target = os.path.realpath(catalog.file(row)), temporary / place
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
                links += 1
            except FileNotFoundError:
                raise DataError(
                    f"The picture {catalog.file(row)} is gone, or a link to nothing; bring it back or remove it."
                ) from None
            except FileExistsError:
                raise
            except OSError:  # another disk, or one that knows no links
                shutil.copy2(source, target)
        made = [files for _, _, files in os.walk(temporary) if files]
        if (len(made), sum(map(len, made))) != (len({*map(os.path.dirname, places.values())}), len(places)):
            raise DataError(
                f"The disk of {out} takes names that differ in case alone for one; rename such classes and pictures, "
                "or name a folder on another disk."
            )
        if out.is_dir():
            out.rmdir()
        temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return links, len(places) - links


def _places(catalog: Catalog) -> dict[int, str]:
    """{row: split/class/name}; the name holds the picture's folders where others of its class are called alike."""
    pairs = zip(catalog.classes, catalog.class_ids, strict=True)
    folders = [name if name == number else f"{number}_{name}" for name, number in pairs]
    for name in folders:
        if not name or name.startswith(".") or {"/", "\\"} & {*name}:
            raise DataError(
                f"The class '{name}' of {catalog.root} cannot be the name of a folder; rename it in the table."
            )
        if folders.count(name) > 1:
            raise DataError(f"Two classes of {catalog.root} would both be the folder {name}; rename one.")
    rows = [row for row, sample in enumerate(catalog.samples) if sample.label != UNLABELLED and sample.split]
    parent = {row: f"{catalog.samples[row].split}/{folders[catalog.labels[row]]}" for row in rows}
    named = {row: f"{parent[row]}/{os.path.basename(catalog.samples[row].path)}" for row in rows}
    count = Counter(place.casefold() for place in named.values())
    for row, place in named.items():
        if count[place.casefold()] > 1:
            named[row] = f"{parent[row]}/{'_'.join(Path(catalog.samples[row].path).parts).lstrip('/_')}"
    twice = [place for place, times in Counter(named.values()).items() if times > 1]
    if twice:
        raise DataError(f"Two pictures of {catalog.root} would be called {twice[0]}; rename one.")
    return named

"""Which mask belongs to which picture: mirrored folders, parts, boxes.csv, annotation files -> mask references.

A mask tree mirrors the pictures: leave out the folder that makes it one (``masks``) and what remains of the
path is the picture's, up to the suffix. So ``masks/train/rose/1.png``, ``train/masks/rose/1.png`` and
``rose/masks/1.png`` are all found. Masks may also lie beside the pictures (``rose/1_mask.png``). A folder of
such a name that mirrors nothing holds pictures (a class may be called "mask").
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foveate.core.errors import DataError
from foveate.data.annotations import DOCUMENTS
from foveate.data.annotations.files import SEPARATOR
from foveate.data.maskfiles import document_key, use_file, use_sidecars
from foveate.data.matching import WRAPPERS, Lookup, MaskFinds, beside, mirrored, stem
from foveate.data.scan import Scan, scan

_TASK = re.compile(r"(?:.*/)?task-\d+-annotation-\d+-by-.+\.(?:png|npy)", re.DOTALL)
"""A brush mask of Label Studio named by its task."""

TREES = {
    "masks": "png",
    "mask": "png",
    "segmentations": "png",
    "segmentation": "png",
    "trimaps": "trimap",
    "parts": "parts",
    "marks": "",
}
"""{lower-case folder name: kind}, the preferred first; "" = recognised, but used only when asked for."""


@dataclass
class Tree:
    """A folder that may hold masks."""

    prefix: str
    kind: str
    files: list[tuple[str, str]] = field(default_factory=list)
    """[(path, key)]: the key is what remains of the path without the tree's own folders and the suffix."""


def find_masks(
    root: Path,
    found: Scan,
    *,
    masks: Path | None = None,
    kind: str = "auto",
    values: tuple[int, ...] | None = None,
    pictures: Sequence[str] | None = None,
) -> MaskFinds:
    """Match masks to pictures by path alone; no mask is opened.

    Args:
        root: the data folder.
        found: what lies in it.
        masks: a mask folder, file of annotations or box table to use instead of those found; relative to ``root``, the
            current folder, or absolute.
        kind: how to read mask files; "auto" goes by the folder's name (trimaps, parts, else png).
        values: grey values that are object; then "auto" reads files as png.
        pictures: the pictures, when a manifest lists them; else all that are not masks.

    Raises:
        DataError: ``masks`` does not exist or fits no picture; a file of boxes or annotations is malformed; brush
            masks of Label Studio lie there without the export that says whose they are.
    """
    if values and kind == "auto":
        kind = "png"  # the only kind that takes values
    finds = MaskFinds()
    configured = None if masks is None else _resolve(masks, root)
    listed = None if pictures is None else set(pictures)
    by_task = [path for path in found.pictures if _TASK.fullmatch(path) and path not in (listed or ())]
    finds.files.update(by_task)
    everything = [path for path in found.pictures if path not in finds.files]
    if any(configured is not None and (root / path).is_relative_to(configured) for path in by_task):
        configured = None  # the export, which holds the strokes, is found by itself
    asked = configured is not None
    if configured is not None and configured.is_dir():
        whole = Lookup(everything if pictures is None else pictures)
        if _use_folder_of_documents(finds, root, configured, found, whole):
            configured = None
    inside = configured is not None and configured.is_relative_to(root)
    chosen = f"{configured.relative_to(root).as_posix()}/" if configured is not None and inside else None
    rest = [path for path in everything if chosen is None or not path.startswith(chosen)]
    trees: dict[str, Tree] = {}
    plain = []
    for path in rest:
        place = None if listed is not None and path in listed else _tree_of(path)
        if place is None:
            plain.append(path)
        else:
            prefix, tree_kind, key = place
            trees.setdefault(prefix, Tree(prefix, tree_kind)).files.append((path, key))
    free = [path for path in plain if listed is None or path not in listed]
    paired, alone = beside(free, plain if pictures is None else pictures)
    finds.files.update([*(path for _, path in paired), *alone])
    plain = [path for path in plain if path not in finds.files]
    lookup = Lookup(plain if pictures is None else pictures)
    if paired and asked:
        finds.notes.append(f"Files beside the pictures, as {paired[0][1]}, are masks that are not used.")
    elif paired:
        here = "trimap" if stem(paired[0][1]).lower().endswith("trimap") else "png"
        how = here if kind == "auto" else kind
        source = f"files beside the pictures, as {paired[0][1]} (read as {how})"
        finds.assign(_references(paired, how, values), source, alone)
    wrapped = _wrapped(plain)

    order = list(TREES)
    unfit = []
    for tree in sorted(
        trees.values(), key=lambda t: (order.index(t.prefix.split("/")[-1].lower()), t.prefix)
    ):
        apart = listed is not None or tree.prefix.rpartition("/")[0] in wrapped
        matched, unmatched = lookup.match(tree.files, may_be_class=not apart)
        if not matched:
            unfit.append(f"{tree.prefix}/")
            continue
        finds.files.update(path for path, _ in tree.files)
        if not asked and tree.kind:
            tree_kind = tree.kind if kind == "auto" else kind
            finds.assign(
                _references(matched, tree_kind, values), f"{tree.prefix}/ (read as {tree_kind})", unmatched
            )
        else:
            finds.notes.append(
                f"{tree.prefix}/ mirrors the pictures, so it is no class; its masks are not used."
            )
    if unfit:
        finds.notes.append(
            f"{', '.join(unfit)}: read as pictures, since as masks the files fit too few of the others; masks are "
            "named with --masks."
        )
    if configured is not None:
        _use_configured(finds, root, configured, chosen, found, lookup, kind, values)
    elif not asked:
        for name in found.others:
            use_file(finds, root, name, lookup)
        left = [name for name in found.others if name not in finds.documents]
        use_sidecars(finds, root, [(name, document_key(name)) for name in left], lookup)
    if by_task and not any(ref.startswith("labelstudio:") for ref in finds.references.values()):
        raise DataError(
            f"{root / by_task[0]} and {len(by_task) - 1} more are brush masks of Label Studio named by task, and only "
            "the project's export as JSON says which picture a task is about; put that file into the data folder "
            "(it holds the strokes too)."
        )
    without = [path for path in lookup.pictures if path not in finds.references and path not in finds.files]
    if finds.references and without:
        finds.notes.append(f"{len(without)} pictures have no mask, for example {without[0]}.")
    return finds


def _use_folder_of_documents(finds: MaskFinds, root: Path, folder: Path, found: Scan, lookup: Lookup) -> bool:
    """Whether a folder that was asked for holds documents about one picture each: beside the pictures, or mirroring
    them."""
    if not folder.is_relative_to(root):
        below = [(f"{folder}/{path}", mirrored(path)) for path in scan(folder).others]
        return use_sidecars(finds, root, below, lookup, asked=True)
    prefix = f"{folder.relative_to(root).as_posix()}/" if folder != root else ""
    inside = [path for path in found.others if path.startswith(prefix)]
    return any(
        use_sidecars(finds, root, [(path, mirrored(path[cut:])) for path in inside], lookup, asked=True)
        for cut in (0, len(prefix))
    )


def _resolve(masks: Path, root: Path) -> Path:
    for candidate in (root / masks, Path.cwd() / masks):
        if candidate.exists():
            return Path(os.path.abspath(candidate))
    raise DataError(
        f"The masks {masks} do not exist, neither in {root} nor in the current folder; mend the path."
    )


def _tree_of(path: str) -> tuple[str, str, str] | None:
    """(prefix, kind, key) when a folder of ``path`` has the name of a mask tree."""
    parts = path.split("/")
    for i, part in enumerate(parts[:-1]):
        kind = TREES.get(part.lower())
        if kind is None:
            continue
        before, below = parts[:i], parts[i + 1 :]
        if part.lower() == "trimaps" and before and before[-1].lower() == "annotations":
            before = before[:-1]
        if kind == "parts":
            if len(below) < 2:
                continue
            below = below[1:]
        return "/".join(parts[: i + 1]), kind, stem("/".join([*before, *below]))
    return None


def _wrapped(paths: Iterable[str]) -> set[str]:
    """Folders that hold a folder which only wraps class folders (``images``), so that masks may lie beside that."""
    split = [path.split("/") for path in paths]
    return {
        "/".join(parts[:i])
        for parts in split
        for i, part in enumerate(parts[:-2])
        if part.lower() in WRAPPERS
    }


def _references(
    matched: Sequence[tuple[str, str]], kind: str, values: tuple[int, ...] | None
) -> dict[str, str]:
    """{picture: reference} of (picture, mask path) pairs."""
    paths: dict[str, list[str]] = defaultdict(list)
    for picture, path in matched:
        paths[picture].append(path)
    listed = f"[{','.join(map(str, values))}]" if values else ""
    return {picture: f"{kind}{listed}:{SEPARATOR.join(sorted(found))}" for picture, found in paths.items()}


def _use_configured(
    finds: MaskFinds,
    root: Path,
    configured: Path,
    inside: str | None,
    found: Scan,
    lookup: Lookup,
    kind: str,
    values: tuple[int, ...] | None,
) -> None:
    if configured.is_file():
        name = configured.relative_to(root).as_posix() if configured.is_relative_to(root) else str(configured)
        if not use_file(finds, root, name, lookup, asked=True):
            formats = ", ".join(reader.title for reader in DOCUMENTS.values())
            raise DataError(
                f"{configured} is neither a table of boxes nor annotations of pictures of {root} that are read here "
                f"({formats})."
            )
        return
    if inside is None:
        paths = [(f"{configured}/{path}", path) for path in scan(configured).pictures]
    else:
        paths = [(path, path[len(inside) :]) for path in found.pictures if path.startswith(inside)]
        finds.files.update(path for path, _ in paths)
    if kind == "auto":
        kind = TREES.get(configured.name.lower()) or "png"
    if kind == "parts":
        paths = [(path, below.partition("/")[2] or below) for path, below in paths]
    matched, unmatched = lookup.match([(path, stem(below)) for path, below in paths])
    if not matched:
        raise DataError(
            f"None of the {len(paths)} files in {configured} belongs to a picture; the tree must mirror "
            "the pictures (<class>/<stem>.png for <class>/<stem>.jpg)."
        )
    finds.assign(
        _references(matched, kind, values), f"{configured.name}/ (read as {kind}, as asked)", unmatched
    )

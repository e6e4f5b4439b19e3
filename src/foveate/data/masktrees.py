"""Which mask belongs to which picture: mirrored folders, parts, boxes.csv, COCO files -> mask references.

A mask tree mirrors the pictures: leave out the folder that makes it one (``masks``) and what remains of the
path is the picture's, up to the suffix. So ``masks/train/rose/1.png``, ``train/masks/rose/1.png`` and
``rose/masks/1.png`` are all found. A folder of such a name that mirrors nothing holds pictures (a class may
be called "mask").
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foveate.core.errors import DataError
from foveate.data.scan import Scan, scan
from foveate.data.shapes import coco_index, parse_boxes
from foveate.data.splitnames import split_of
from foveate.data.table import PATH_COLUMNS, read_header, read_rows, relative

WRAPPERS = frozenset({"images", "image", "pictures", "photos"})
"""Lower-case names of a folder that only holds the pictures beside their masks."""

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

STEM_ENDINGS = ("_mask", "-mask", "_segmentation", "_seg", "_trimap")
"""Endings that masks carry besides the picture's stem."""

BOX_FILES = frozenset({"boxes.csv", "bounding_boxes.csv"})
BOX_COLUMNS = ("xmin", "ymin", "xmax", "ymax")

FLAT_SHARE = 0.9
"""Share of a flat mask folder's files that must find a picture by stem before it counts as one."""


@dataclass
class MaskFinds:
    """What was found."""

    references: dict[str, str] = field(default_factory=dict)
    """{picture path: mask reference}"""
    files: set[str] = field(default_factory=set)
    """Files of the data folder that are masks, so not pictures."""
    notes: list[str] = field(default_factory=list)

    def assign(self, found: dict[str, str], source: str, unmatched: Sequence[str] = ()) -> None:
        """Take references for pictures that have none yet, and say so."""
        new = {picture: ref for picture, ref in found.items() if picture not in self.references}
        self.references.update(new)
        if new:
            self.notes.append(f"{len(new)} masks come from {source}.")
        else:
            self.notes.append(f"The masks in {source} are not used, since the pictures have others already.")
        if unmatched:
            self.notes.append(
                f"{len(unmatched)} entries of {source} belong to no picture and are left out, "
                f"for example {unmatched[0]}."
            )


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
        masks: a mask folder, COCO file or box table to use instead of those found; relative to ``root``, the
            current folder, or absolute.
        kind: how to read mask files; "auto" goes by the folder's name (trimaps, parts, else png).
        values: grey values that are object; then "auto" reads files as png.
        pictures: the pictures, when a manifest lists them; else all that are not masks.

    Raises:
        DataError: ``masks`` does not exist or fits no picture; a box table or COCO file is malformed.
    """
    if values and kind == "auto":
        kind = "png"  # the only kind that takes values
    finds = MaskFinds()
    configured = None if masks is None else _resolve(masks, root)
    chosen = (
        configured.relative_to(root).as_posix() + "/"
        if configured and configured.is_relative_to(root)
        else None
    )
    rest = [path for path in found.pictures if chosen is None or not path.startswith(chosen)]
    listed = None if pictures is None else set(pictures)
    trees: dict[str, Tree] = {}
    plain = []
    for path in rest:
        place = None if listed is not None and path in listed else _tree_of(path)
        if place is None:
            plain.append(path)
        else:
            prefix, tree_kind, key = place
            trees.setdefault(prefix, Tree(prefix, tree_kind)).files.append((path, key))
    lookup = _Lookup(plain if pictures is None else pictures)

    order = list(TREES)
    for tree in sorted(
        trees.values(), key=lambda t: (order.index(t.prefix.split("/")[-1].lower()), t.prefix)
    ):
        matched, unmatched = lookup.match(tree.files)
        if not matched:
            continue  # a class that happens to be called so
        finds.files.update(path for path, _ in tree.files)
        if configured is None and tree.kind:
            tree_kind = tree.kind if kind == "auto" else kind
            finds.assign(
                _references(matched, tree_kind, values), f"{tree.prefix}/ (read as {tree_kind})", unmatched
            )
        else:
            finds.notes.append(
                f"{tree.prefix}/ mirrors the pictures, so it is no class; its masks are not used."
            )
    if configured is not None:
        _use_configured(finds, root, configured, chosen, found, lookup, kind, values)
    else:
        for name in found.others:
            _use_table(finds, root, name, lookup)
    without = [path for path in lookup.pictures if path not in finds.references and path not in finds.files]
    if finds.references and without:
        finds.notes.append(f"{len(without)} pictures have no mask, for example {without[0]}.")
    return finds


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
        return "/".join(parts[: i + 1]), kind, _stem("/".join([*before, *below]))
    return None


def mirrored(picture: str) -> str:
    """Where the mask of a picture lies in a mask tree, without suffix: its path without suffix and wrappers."""
    return "/".join(part for part in _stem(picture).split("/") if part.lower() not in WRAPPERS)


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]


def _without_split(key: str) -> str:
    first, _, rest = key.partition("/")
    return rest if rest and split_of(first) else key


class _Lookup:
    """Pictures by key; a key of two pictures finds neither."""

    def __init__(self, pictures: Iterable[str]) -> None:
        self.pictures = list(pictures)
        self.exact: dict[str, str | None] = {}
        self.splitless: dict[str, str | None] = {}
        self.flat: dict[str, str | None] = {}
        for picture in self.pictures:
            key = mirrored(picture)
            for table, name in (
                (self.exact, key),
                (self.splitless, _without_split(key)),
                (self.flat, key.rsplit("/", 1)[-1]),
            ):
                table[name] = None if name in table else picture
        self.folders = len({picture.rsplit("/", 1)[0] for picture in self.pictures})

    def match(self, files: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[str]]:
        """[(picture, mask path)] and the mask paths without a picture."""
        matched, unmatched = self._match(files, (self.exact, self.splitless))
        if not matched and self.folders >= 2:
            # One flat folder for all classes. By stem alone is weak evidence, so nearly all must fit.
            flat = [(path, key.rsplit("/", 1)[-1]) for path, key in files]
            by_stem, rest = self._match(flat, (self.flat,))
            if len(by_stem) >= FLAT_SHARE * len(files):
                return by_stem, rest
        return matched, unmatched

    @staticmethod
    def _match(
        files: Sequence[tuple[str, str]], tables: Sequence[dict[str, str | None]]
    ) -> tuple[list[tuple[str, str]], list[str]]:
        matched, unmatched = [], []
        for path, key in files:
            keys = [key, *(key[: -len(ending)] for ending in STEM_ENDINGS if key.lower().endswith(ending))]
            picture = next((table[k] for k in keys for table in tables if table.get(k)), None)
            if picture is None:
                unmatched.append(path)
            else:
                matched.append((picture, path))
        return matched, unmatched


def _references(
    matched: Sequence[tuple[str, str]], kind: str, values: tuple[int, ...] | None
) -> dict[str, str]:
    """{picture: reference} of (picture, mask path) pairs."""
    paths: dict[str, list[str]] = defaultdict(list)
    for picture, path in matched:
        paths[picture].append(path)
    if kind == "parts":
        return {picture: f"parts:{'|'.join(sorted(found))}" for picture, found in paths.items()}
    several = next((found for found in paths.values() if len(found) > 1), None)
    if several:
        raise DataError(
            f"{several[0]} and {several[1]} are masks of one picture; remove one, or read them as parts."
        )
    listed = f"[{','.join(map(str, values))}]" if values else ""
    return {picture: f"{kind}{listed}:{found[0]}" for picture, found in paths.items()}


def _use_configured(
    finds: MaskFinds,
    root: Path,
    configured: Path,
    inside: str | None,
    found: Scan,
    lookup: _Lookup,
    kind: str,
    values: tuple[int, ...] | None,
) -> None:
    if configured.is_file():
        name = configured.relative_to(root).as_posix() if configured.is_relative_to(root) else str(configured)
        if not _use_table(finds, root, name, lookup, asked=True):
            raise DataError(
                f"{configured} is neither a table of boxes nor a COCO file with pictures of {root}."
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
    matched, unmatched = lookup.match([(path, _stem(below)) for path, below in paths])
    if not matched:
        raise DataError(
            f"None of the {len(paths)} files in {configured} belongs to a picture; the tree must mirror "
            "the pictures (<class>/<stem>.png for <class>/<stem>.jpg)."
        )
    finds.assign(
        _references(matched, kind, values), f"{configured.name}/ (read as {kind}, as asked)", unmatched
    )


def _use_table(finds: MaskFinds, root: Path, name: str, lookup: _Lookup, *, asked: bool = False) -> bool:
    """Use a box table or COCO file; False when ``name`` is neither."""
    base = name.rsplit("/", 1)[-1].lower()
    if base.endswith(".csv") and (asked or base in BOX_FILES):
        found, unmatched = _boxes(root, name, lookup)
    elif base.endswith(".json") and (
        asked or base in ("annotations.json", "_annotations.coco.json") or base.startswith("instances")
    ):
        found, unmatched = _coco(root, name, lookup)
    else:
        return False
    if found:
        finds.assign(found, name, unmatched)
    else:
        finds.notes.append(f"{name} names no picture that is here, so it is not used.")
    return bool(found)


def _candidates(name: str, text: str) -> list[str]:
    """A picture named ``text`` in the file ``name``, as paths below the data folder."""
    folder = name.rsplit("/", 1)[0] + "/" if "/" in name else ""
    text = os.path.normpath(text.replace("\\", "/"))
    places = (folder, "", *(f"{folder}{wrapper}/" for wrapper in sorted(WRAPPERS)))
    return [os.path.normpath(place + text) for place in places]


def _boxes(root: Path, name: str, lookup: _Lookup) -> tuple[dict[str, str], list[str]]:
    path = root / name
    header = read_header(path)
    file_column = header.first(PATH_COLUMNS)
    if file_column is None or any(column not in header.columns for column in BOX_COLUMNS):
        needed = ", ".join(("file", *BOX_COLUMNS))
        raise DataError(
            f"{path} has the columns {', '.join(header.columns)}; a table of boxes needs {needed}."
        )
    known = set(lookup.pictures)
    boxes: dict[str, list[str]] = defaultdict(list)
    unmatched = []
    for line, row in read_rows(path, header):
        text = ",".join(row[header.columns[column]].strip() for column in BOX_COLUMNS)
        try:
            parse_boxes(text)
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}.") from None
        file = relative(root, row[header.columns[file_column]])
        picture = next((p for p in _candidates(name, file) if p in known), None)
        if picture is None:
            unmatched.append(file)
        else:
            boxes[picture].append(text)
    return {picture: f"box:{';'.join(found)}" for picture, found in boxes.items()}, unmatched


def _coco(root: Path, name: str, lookup: _Lookup) -> tuple[dict[str, str], list[str]]:
    try:
        index = coco_index(root / name)
    except (OSError, ValueError) as error:
        raise DataError(f"{root / name} cannot be used: {error}; mend it or move it away.") from error
    known = set(lookup.pictures)
    count = Counter(picture.rsplit("/", 1)[-1] for picture in lookup.pictures)
    by_name = {p.rsplit("/", 1)[-1]: p for p in lookup.pictures if count[p.rsplit("/", 1)[-1]] == 1}
    found, unmatched = {}, []
    for image_id, entry in index.items():
        if not entry.annotations:
            continue  # nothing was drawn there
        places = _candidates(name, entry.file_name)
        picture = next((p for p in places if p in known), by_name.get(places[0].rsplit("/", 1)[-1]))
        if picture is None:
            unmatched.append(entry.file_name)
        else:
            found[picture] = f"coco:{name}#{image_id}"
    return found, unmatched

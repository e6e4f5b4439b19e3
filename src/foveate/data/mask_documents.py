"""Masks out of files of annotations: tables of boxes, documents about many pictures, documents beside each picture."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from foveate.core.errors import DataError, few
from foveate.data.annotations import DOCUMENTS, recognise
from foveate.data.mask_matching import LISTED, WRAPPERS, Lookup, MaskFinds, mirrored
from foveate.data.shapes import parse_boxes
from foveate.data.table_catalog import PATH_COLUMNS, read_columns, relative

BOX_FILES = frozenset({"boxes.csv", "bounding_boxes.csv"})
BOX_COLUMNS = ("xmin", "ymin", "xmax", "ymax")

DOCUMENT_NAMES = frozenset({"annotations.json", "_annotations.coco.json", "result.json", "annotations.xml"})
"""Files of annotations that are used by themselves, beside those that begin with "instances" and exports of Label
Studio in the data folder itself."""
DOCUMENT_FOLDERS = frozenset({"annotations", "labels", "labelme", "xml", "xmls", "json", "voc"})
"""Lower-case names of folders that only hold documents, one a picture."""


def document_key(path: str) -> str:
    """What a document about one picture mirrors."""
    return "/".join(part for part in mirrored(path).split("/") if part.lower() not in DOCUMENT_FOLDERS)


def use_file(finds: MaskFinds, root: Path, name: str, lookup: Lookup, *, asked: bool = False) -> bool:
    """Use a box table or a document about many pictures; False when ``name`` is neither."""
    base = name.rsplit("/", 1)[-1].lower()
    if base.endswith(".csv") and (asked or base in BOX_FILES):
        found, unmatched = _boxes(root, name, lookup)
    elif base.endswith((".json", ".xml")) and (asked or promises(base) or "/" not in name):
        kind = recognise(root / name)
        if kind is None and promises(base) and not asked:
            formats = ", ".join(reader.title for reader in DOCUMENTS.values())
            raise DataError(
                f"{root / name} is none of the annotations that are read here ({formats}); mend it or move it away."
            )
        if kind is None or not (asked or promises(base) or kind == "labelstudio"):
            return False
        finds.documents.add(name)
        found, unmatched = _listed(finds, root, name, kind, lookup, asked)
    else:
        return False
    if found:
        finds.assign(found, name, unmatched)
    else:
        finds.notes.append(f"{name} names no picture that is here, so it is not used.")
    return bool(found)


def promises(name: str) -> bool:
    """Whether a file of this (lower-case) name must hold annotations."""
    return name in DOCUMENT_NAMES or (name.startswith("instances") and name.endswith(".json"))


def use_sidecars(
    finds: MaskFinds, root: Path, files: Sequence[tuple[str, str]], lookup: Lookup, *, asked: bool = False
) -> bool:
    """Use documents that are about one picture each; whether there are any.

    Args:
        files: [(path, what its folder and stem mirror)].
    """
    matched, unmatched = lookup.match(
        [(path, key) for path, key in files if path.lower().endswith((".json", ".xml"))]
    )
    kinds, before = {path: recognise(root / path) for _, path in matched}, len(finds.documents)
    for kind, reader in DOCUMENTS.items():
        own = {
            picture: f"{kind}:{path}" for picture, path in matched if reader.single and kinds[path] == kind
        }
        if not own:
            continue
        finds.documents.update(path for path, found in kinds.items() if found == kind)
        left = [path for path in unmatched if asked and recognise(root / path) == kind]
        finds.assign(own, f"{reader.title} files, one a picture", left)
    return len(finds.documents) > before


def _candidates(name: str, text: str) -> list[str]:
    """A picture named ``text`` in the file ``name``, as paths below the data folder."""
    folder = name.rsplit("/", 1)[0] + "/" if "/" in name else ""
    text = os.path.normpath(text.replace("\\", "/"))
    places = (folder, "", *(f"{folder}{wrapper}/" for wrapper in sorted(WRAPPERS)))
    return [os.path.normpath(place + text) for place in places]


def _boxes(root: Path, name: str, lookup: Lookup) -> tuple[dict[str, str], list[str]]:
    path = root / name
    names, lines, columns = read_columns(path)
    files = next((columns[column] for column in PATH_COLUMNS if column in columns), None)
    if files is None or not columns.keys() >= {*BOX_COLUMNS}:
        needed = ", ".join(("file", *BOX_COLUMNS))
        raise DataError(
            f"{path} has the columns {', '.join(names).lower()}; a table of boxes needs {needed}."
        )
    boxes: dict[str, list[str]] = defaultdict(list)
    unmatched = []
    edges = zip(*(columns[column] for column in BOX_COLUMNS), strict=True)
    for line, text, box in zip(lines, files, edges, strict=True):
        corners = ",".join(edge.strip() for edge in box)
        try:
            parse_boxes(corners)
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}.") from None
        file = relative(root, text)
        picture = next((p for p in _candidates(name, file) if p in lookup.known), None)
        if picture is None:
            unmatched.append(file)
        else:
            boxes[picture].append(corners)
    return {picture: f"box:{';'.join(found)}" for picture, found in boxes.items()}, unmatched


def _listed(
    finds: MaskFinds, root: Path, name: str, kind: str, lookup: Lookup, asked: bool
) -> tuple[dict[str, str], list[str]]:
    """({picture: reference}, file names without a picture) of a document about many pictures."""
    document = DOCUMENTS[kind].document(root / name)
    found: dict[str, str] = {}
    unmatched, unclear = [], []
    for key, entry in document.entries.items():
        if not entry.parts:
            continue  # nothing was drawn there
        pictures = lookup.meant(_candidates(name, entry.file_name))
        picture = pictures[0] if pictures else ""
        if not pictures:
            unmatched.append(entry.file_name)
        elif len(pictures) > 1:
            unclear.append(f"{entry.file_name} ({few(sorted(pictures), 3)})")
        elif picture in found:
            raise DataError(
                f"{root / name} has two entries for the picture {picture} ({found[picture].rpartition('#')[2]} and "
                f"{key}); keep one, or give pictures of the same name their folder."
            )
        else:
            found[picture] = f"{kind}:{name}" if DOCUMENTS[kind].single else f"{kind}:{name}#{key}"
    if unclear:
        told = (
            f"{len(unclear)} names in {name} fit several pictures, and what was drawn there is left out: "
            f"{few(unclear, LISTED)}. Write the folder before the name in {name}, or give each picture a name of its "
            "own and export again."
        )
        if asked and not found:
            raise DataError(told)
        finds.notes.append(told)
    if document.orphans:
        finds.notes.append(
            f"{len(document.orphans)} annotations of {name} belong to no picture that it lists and are left out, "
            f"for example {document.orphans[0]}."
        )
    return found, unmatched

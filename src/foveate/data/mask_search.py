"""Which mask belongs to which picture: mirrored folders, parts, boxes.csv, annotation files -> mask references.

A mask tree mirrors the pictures: leave out the folder that makes it one (``masks``) and what remains of the
path is the picture's, up to the suffix. So ``masks/train/rose/1.png``, ``train/masks/rose/1.png`` and
``rose/masks/1.png`` are all found. Masks may also lie beside the pictures (``rose/1_mask.png``). A folder of
such a name that mirrors nothing holds pictures (a class may be called "mask").
"""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from foveate.core.errors import DataError
from foveate.data.annotations import DOCUMENTS, recognise
from foveate.data.annotations.picture_masks import SEPARATOR
from foveate.data.layout_settings import AUTO
from foveate.data.listing import Scan, scan
from foveate.data.mask_documents import document_key, promises, use_file, use_sidecars
from foveate.data.mask_matching import WRAPPERS, Lookup, MaskFinds, beside, mirrored, stem

PROPOSALS = "proposals.csv"
"""The table beside masks that were proposed, by which their folder is known."""
_BOTH = " (--masks auto beside the other --masks uses both)"
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


def find_masks(
    root: Path,
    found: Scan,
    *,
    masks: Sequence[Path] = (),
    kind: str = "auto",
    values: tuple[int, ...] | None = None,
    pictures: Sequence[str] | None = None,
    known: Mapping[str, str] = MappingProxyType({}),
) -> MaskFinds:
    """Match masks to pictures by path alone; no mask is opened.

    Args:
        root: the data folder.
        found: what lies in it.
        masks: mask folders, files of annotations or box tables to use, "auto" for what is found by itself; relative to
            ``root``, the current folder, or absolute. The first that has a mask for a picture counts, proposed masks
            after all others. None: "auto".
        kind: how to read mask files; "auto" goes by the folder's name (trimaps, parts, else png).
        values: grey values that are object; then "auto" reads files as png.
        pictures: the pictures, when a manifest lists them; else all that are not masks.
        known: {picture: reference} that the manifest or layout says itself: these are "auto" then.

    Raises:
        DataError: ``masks`` does not exist or fits no picture; a file of boxes or annotations is malformed; brush
            masks of Label Studio lie there without the export that says whose they are.
    """
    search = _Search(root, found, pictures, "png" if values and kind == "auto" else kind, values)
    asked = [None if str(path) == AUTO else _resolve(path, root) for path in masks] or [None]
    search.alone = None not in asked
    for place in sorted(asked, key=lambda place: place is not None and (place / PROPOSALS).is_file()):
        if place is None and known:
            search.finds.assign(dict(known), "the data set's own list")
        else:
            search.run(place)
    search.finish()
    return search.finds


class _Search:
    """What is found on the way."""

    alone = False
    """Whether nothing is to be used that is found by itself."""

    def __init__(
        self,
        root: Path,
        found: Scan,
        pictures: Sequence[str] | None,
        kind: str,
        values: tuple[int, ...] | None,
    ) -> None:
        self.root, self.found, self.kind, self.values = root, found, kind, values
        self.pictures, self.listed = pictures, frozenset(pictures or ())
        self.finds = MaskFinds()
        self.by_task = [path for path in found.pictures if _TASK.fullmatch(path) and path not in self.listed]
        self.finds.files.update(self.by_task)
        self.without: list[str] = []

    def run(self, asked: Path | None) -> None:
        """Find masks: all that lie there, or those of ``asked``, which exists."""
        finds = self.finds
        everything = [path for path in self.found.pictures if path not in self.by_task]
        whole = Lookup(everything if self.pictures is None else self.pictures)
        done = asked is not None and asked.is_dir() and self._documents_in(asked, whole)
        if (
            asked is not None
            and not done
            and any((self.root / p).is_relative_to(asked) for p in self.by_task)
        ):
            asked = None  # the export, which holds the strokes, is found by itself
        inside = asked is not None and not done and asked.is_relative_to(self.root)
        chosen = f"{asked.relative_to(self.root).as_posix()}/" if asked is not None and inside else None
        lookup = self._trees_and_beside(
            [path for path in everything if chosen is None or not path.startswith(chosen)], used=asked is None
        )
        if asked is None:
            for name in self.found.others:
                use_file(finds, self.root, name, lookup)
            left = [name for name in self.found.others if name not in finds.documents]
            use_sidecars(finds, self.root, [(name, document_key(name)) for name in left], lookup)
        elif asked.is_file():
            name = asked.relative_to(self.root).as_posix() if inside else str(asked)
            if not use_file(finds, self.root, name, lookup, asked=True):
                formats = ", ".join(reader.title for reader in DOCUMENTS.values())
                raise DataError(
                    f"{asked} is neither a table of boxes nor annotations of pictures of {self.root} that are read "
                    f"here ({formats})."
                )
        elif not done:
            self._tree(asked, chosen, lookup)
        self.without = [
            path for path in lookup.pictures if path not in finds.references and path not in finds.files
        ]

    def finish(self) -> None:
        """Say what is left without a mask."""
        finds = self.finds
        if self.by_task and not any(ref.startswith("labelstudio:") for ref in finds.references.values()):
            raise _nameless([str(self.root / path) for path in self.by_task])
        others = [name for name in self.found.others if promises(name.rsplit("/", 1)[-1].lower())]
        unused = [name for name in others if name not in finds.documents]
        if self.alone and unused:
            finds.notes.append(f"{unused[0]} is not used, since other masks are named{_BOTH}.")
        if finds.references and self.without:
            finds.notes.append(
                f"Pictures without a mask: {len(self.without)}, for example {self.without[0]}."
            )

    def _take(
        self,
        pairs: Sequence[tuple[str, str]],
        kind: str,
        source: str,
        unmatched: Sequence[str],
        more: str = "",
    ) -> None:
        """Use (picture, mask path) pairs; ``kind`` is how they are read when nobody said it."""
        kind = kind if self.kind == "auto" else self.kind
        paths: dict[str, list[str]] = defaultdict(list)
        for picture, path in pairs:
            paths[picture].append(path)
        listed = f"[{','.join(map(str, self.values))}]" if self.values else ""
        found = {picture: f"{kind}{listed}:{SEPARATOR.join(sorted(own))}" for picture, own in paths.items()}
        self.finds.assign(found, f"{source} (read as {kind}{more})", unmatched)

    def _trees_and_beside(self, paths: Sequence[str], *, used: bool) -> Lookup:
        """Tell masks from pictures by where they lie and how they are called; ``used``: and use them."""
        finds = self.finds
        trees: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        plain = []
        for path in paths:
            place = None if path in self.listed else _tree_of(path)
            if place is None:
                plain.append(path)
            else:
                prefix, kind, key = place
                trees[prefix, kind].append((path, key))
        free = [path for path in plain if path not in self.listed]
        paired, alone = beside(free, plain if self.pictures is None else self.pictures)
        finds.files.update([*(path for _, path in paired), *alone])
        plain = [path for path in plain if path not in finds.files]
        lookup = Lookup(plain if self.pictures is None else self.pictures)
        if paired and used:
            kind = "trimap" if stem(paired[0][1]).lower().endswith("trimap") else "png"
            self._take(paired, kind, f"files beside the pictures, as {paired[0][1]}", alone)
        elif paired:
            self._unused(f"Files beside the pictures, as {paired[0][1]}, are masks that are not used")
        split = [path.split("/") for path in plain]
        # Folders that hold a folder which only wraps class folders (``images``), so that masks may lie beside that.
        wrapped = {
            "/".join(parts[:i])
            for parts in split
            for i, part in enumerate(parts[:-2])
            if part.lower() in WRAPPERS
        }
        rank = {name: place for place, name in enumerate(TREES)}
        unfit = []
        for prefix, kind in sorted(trees, key=lambda t: (rank[os.path.basename(t[0]).lower()], t[0])):
            files = trees[prefix, kind]
            apart = self.pictures is not None or os.path.dirname(prefix) in wrapped
            matched, unmatched = lookup.match(files, may_be_class=not apart)
            if not matched:
                unfit.append(f"{prefix}/")
                continue
            finds.files.update(path for path, _ in files)
            if used and kind:
                self._take(matched, kind, f"{prefix}/", unmatched)
            else:
                self._unused(
                    f"{prefix}/ mirrors the pictures, so it is no class; its masks are not used", kind
                )
        if unfit:
            finds.notes.append(
                f"{', '.join(unfit)}: read as pictures, since as masks the files fit too few of the others; masks are "
                "named with --masks."
            )
        return lookup

    def _unused(self, what: str, kind: str = "png") -> None:
        """Say once that masks are not used, unless another turn uses them."""
        said = f"{what}{_BOTH if kind else ''}."
        if (self.alone or not kind) and said not in self.finds.notes:
            self.finds.notes.append(said)

    def _documents_in(self, folder: Path, lookup: Lookup) -> bool:
        """Whether a folder that was asked for holds documents: about many pictures, or about one each, beside the
        pictures or mirroring them."""
        inside = folder.is_relative_to(self.root)
        prefix = f"{folder.relative_to(self.root).as_posix()}/" if inside and folder != self.root else ""
        if inside:
            files = [path for path in self.found.others if path.startswith(prefix)]
        else:
            prefix = f"{folder}/"
            files = [prefix + path for path in scan(folder).others]
        about_many = False
        for path in files:
            if path.lower().endswith((".json", ".xml")):
                kind = recognise(self.root / path)
                if kind and not DOCUMENTS[kind].single:
                    about_many |= use_file(self.finds, self.root, path, lookup, asked=True)
        return about_many or any(
            use_sidecars(
                self.finds, self.root, [(path, mirrored(path[cut:])) for path in files], lookup, asked=True
            )
            for cut in sorted({0 if inside else len(prefix), len(prefix)})
        )

    def _tree(self, asked: Path, inside: str | None, lookup: Lookup) -> None:
        """Use the folder of masks that was asked for; ``inside``: where it lies in the data folder."""
        if inside is None:
            paths = [(f"{asked}/{path}", path) for path in scan(asked).pictures]
        else:
            paths = [(path, path[len(inside) :]) for path in self.found.pictures if path.startswith(inside)]
            self.finds.files.update(path for path, _ in paths)
        kind = TREES.get(asked.name.lower()) or "png"
        if (kind if self.kind == "auto" else self.kind) == "parts":
            paths = [(path, below.partition("/")[2] or below) for path, below in paths]
        matched, unmatched = lookup.match([(path, stem(below)) for path, below in paths])
        by_task = [path for path, _ in paths if _TASK.fullmatch(path)]
        if by_task:
            raise _nameless(by_task)
        if not matched:
            raise DataError(
                f"None of the {len(paths)} files in {asked} belongs to a picture; the tree must mirror "
                "the pictures (<class>/<stem>.png for <class>/<stem>.jpg)."
            )
        self._take(matched, kind, f"{asked.name}/", unmatched, more=", as asked")


def _nameless(by_task: Sequence[str]) -> DataError:
    return DataError(
        f"{by_task[0]} and {len(by_task) - 1} more are brush masks of Label Studio named by task, and only the "
        "project's export as JSON or JSON-MIN says which picture a task is about; put that file beside them, or "
        "give it alone (--masks FILE): it holds the strokes too."
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

"""Which picture does a mask mean: by the path that it mirrors, by the name that a document gives."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from foveate.core.errors import few
from foveate.data.split_names import split_of

WRAPPERS = frozenset({"images", "image", "pictures", "photos"})
"""Lower-case names of a folder that only holds the pictures beside their masks."""

_WORD = "masks?|segmentations?|seg|gt|ground[ _-]?truth|trimap"
_AFFIXES = (
    re.compile(rf"(?P<stem>.+?)[ _.-]+(?P<word>{_WORD})(?:[ _-]?\(?\d+\)?)?", re.IGNORECASE | re.DOTALL),
    re.compile(rf"(?P<word>{_WORD})[ _.-]+(?P<stem>.+)", re.IGNORECASE | re.DOTALL),
)
"""What masks carry besides the picture's stem: ``x_mask``, ``x_mask_1``, ``x-GT``, ``mask_x``."""

_TAGGED = re.compile(r"(.+)-\d+", re.DOTALL)
"""A brush mask of Label Studio named by its picture: <stem>-<class>-<number>."""

UPLOADED = re.compile(r"(^|/)[0-9a-f]{8}-(?=[^/]+$)")
"""What Label Studio puts before the names of pictures that are uploaded."""

FLAT_SHARE = 0.9
"""Share of a flat mask folder's files, or of all that are named alike, that must find a picture to count as masks."""


LISTED = 20
"""Names that a note lists, at most."""


@dataclass
class MaskFinds:
    """What was found."""

    references: dict[str, str] = field(default_factory=dict)
    """{picture path: mask reference}"""
    files: set[str] = field(default_factory=set)
    """Files of the data folder that are masks, so not pictures."""
    documents: set[str] = field(default_factory=set)
    """Files of annotations that were read."""
    notes: list[str] = field(default_factory=list)

    def assign(self, found: dict[str, str], source: str, unmatched: Sequence[str] = ()) -> None:
        """Take references for pictures that have none yet, and say so."""
        new = {picture: ref for picture, ref in found.items() if picture not in self.references}
        self.references.update(new)
        left = len(found) - len(new)
        if new:
            more = f" {left} more are not used, since their pictures have others already." if left else ""
            self.notes.append(f"{len(new)} masks come from {source}.{more}")
        else:
            self.notes.append(f"The masks in {source} are not used, since the pictures have others already.")
        if unmatched:
            self.notes.append(
                f"{len(unmatched)} entries of {source} belong to no picture and are left out: "
                f"{few(unmatched, LISTED)}. Where a picture is meant, give it that name (with its folder, where "
                "several are called alike)."
            )


def mirrored(picture: str) -> str:
    """Where the mask of a picture lies in a mask tree, without suffix: its path without suffix and wrappers."""
    return "/".join(part for part in stem(picture).split("/") if part.lower() not in WRAPPERS)


def as_uploaded(name: str) -> str:
    """A file's name as Label Studio keeps it (Django's ``get_valid_filename``), without the digits it puts before."""
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))


def stem(path: str) -> str:
    return os.path.splitext(path)[0]


def bare(key: str) -> list[tuple[str, str]]:
    """[(what makes the name one of a mask, the picture's key)]."""
    folder, slash, name = key.rpartition("/")
    matches = enumerate(affix.fullmatch(name) for affix in _AFFIXES)
    return [(f"{m['word'].lower()} {i}", f"{folder}{slash}{m['stem']}") for i, m in matches if m]


def beside(files: Sequence[str], pictures: Iterable[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """[(picture, mask path)] of masks in the pictures' own folders, and mask paths without a picture.

    Files are masks when nearly all that carry the same word (``_mask``) have a picture of their name beside them; one
    ``mustang_gt.jpg`` among many is a picture.
    """
    by_stem = {stem(picture): picture for picture in sorted(pictures, reverse=True)}
    named: dict[str, dict[str, str]] = defaultdict(dict)
    for file in files:
        for word, key in bare(stem(file)):
            named[word][file] = by_stem.get(key, "")
    matched: dict[str, str] = {}
    for own in named.values():
        found = sum(map(bool, own.values()))
        if found and found >= FLAT_SHARE * len(own):
            matched = own | matched | {file: picture for file, picture in own.items() if picture}
    alone = [file for file, picture in matched.items() if not picture]
    return [(picture, file) for file, picture in matched.items() if picture], alone


def _keys(key: str) -> list[str]:
    """What may be the picture's key in a mask's: all of it, without the word of a mask, or ``<key>`` of Label Studio's
    ``<key>-<class>-<number>``, where class names may hold hyphens; each also without the digits of an upload."""
    match = _TAGGED.fullmatch(key)
    cuts = [] if match is None else [i for i, letter in enumerate(match[1]) if letter == "-"]
    tagged = [key[:cut] for cut in reversed(cuts) if "/" not in key[cut:]]
    keys = [key, *(picture for _, picture in bare(key)), *tagged]
    return [*keys, *(UPLOADED.sub(r"\1", key) for key in keys)]


class Lookup:
    """Pictures by key; a key of two pictures finds neither."""

    def __init__(self, pictures: Iterable[str]) -> None:
        self.pictures = list(pictures)
        self.known = set(self.pictures)
        self.exact: dict[str, str] = {}
        self.splitless: dict[str, str] = {}
        self.flat: dict[str, str] = {}
        self.by_name: dict[str, list[str]] = defaultdict(list)
        for picture in self.pictures:
            key = mirrored(picture)
            first, _, rest = key.partition("/")
            splitless = rest if rest and split_of(first) else key
            own = {os.path.basename(key), as_uploaded(os.path.basename(key))}
            flat = ((self.flat, name) for name in own)
            for table, name in ((self.exact, key), (self.splitless, splitless), *flat):
                table[name] = "" if name in table else picture
            for name in {os.path.basename(picture), as_uploaded(os.path.basename(picture))}:
                self.by_name[name].append(picture)
        self.folders = set(map(os.path.dirname, self.pictures))

    def match(
        self, files: Sequence[tuple[str, str]], *, may_be_class: bool = False
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """[(picture, mask path)] and the mask paths without a picture.

        Args:
            files: [(mask path, key)].
            may_be_class: the folder lies where classes do, and its files could be pictures that are numbered as those
                of another class are; then they are masks only when every class has some, named otherwise than pictures.
        """
        matched, unmatched = _match(files, self.exact, self.splitless)
        if not matched and len(self.folders) >= 2:
            # One flat folder for all classes. By stem alone is weak evidence, so nearly all must fit.
            by_stem, rest = _match([(path, os.path.basename(key)) for path, key in files], self.flat)
            everywhere = {os.path.dirname(picture) for picture, _ in by_stem} == self.folders
            otherwise = all(os.path.basename(picture) != os.path.basename(path) for picture, path in by_stem)
            if len(by_stem) >= FLAT_SHARE * len(files) and ((everywhere and otherwise) or not may_be_class):
                return by_stem, rest
        return matched, unmatched

    def meant(self, places: Sequence[str]) -> list[str]:
        """The picture that a document means: at one of ``places``, else the one with the name and the most folders
        alike; at last the one that was uploaded to Label Studio under it. Several where that does not tell them apart.
        """
        exact = next((place for place in places if place in self.known), None)
        if exact:
            return [exact]
        parts = places[0].split("/")
        several: list[str] = []
        for name in (parts[-1], UPLOADED.sub("", parts[-1])):
            alike = self.by_name.get(name, [])
            for count in range(1, len(parts) + 1):
                tail = [*parts[-count:-1], name]
                nearer = [picture for picture in alike if picture.split("/")[-count:] == tail]
                if len(alike) <= 1 or not nearer:
                    break
                alike = nearer
            if len(alike) == 1:
                return alike
            several = several or alike
        return several


def _match(
    files: Sequence[tuple[str, str]], *tables: dict[str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """[(picture, mask path)] and the mask paths without a picture, by (mask path, key)."""
    found = [
        (next((table[k] for k in _keys(key) for table in tables if table.get(k)), ""), path)
        for path, key in files
    ]
    return [pair for pair in found if pair[0]], [path for picture, path in found if not picture]

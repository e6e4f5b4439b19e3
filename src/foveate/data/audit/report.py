"""What an audit found: problems by code, trivial cues, and which pictures to leave out so that no error
remains."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from foveate.core.files import SCHEMA_VERSION, write_csv, write_json
from foveate.data.annotations.proposed import Source
from foveate.data.catalog import UNLABELLED, Catalog, Sample

Severity = Literal["error", "warning", "info"]
HARD_MINIMUM = 3
"""Labelled pictures a class needs at least: one each for training, validation and test."""

_PRIORITY = {"test": 3, "val": 2, "train": 1, "": 0}


@dataclass(frozen=True)
class Code:
    """A kind of problem."""

    severity: Severity
    title: str
    """A few words for a table."""
    advice: str = ""
    """What it means or what to do, for a table; "" when each message says its own."""
    leaves: Literal["", "file", "all", "lower splits", "class"] = ""
    """What ``Audit.quarantine`` takes out: nothing; the file; every copy; the pictures of the group that
    are not in its best split (test before val before train: the test set stays comparable with other work);
    the whole class."""


CODES: Mapping[str, Code] = {
    # one file
    "unreadable": Code("error", "Not readable as a picture", leaves="file"),
    "truncated": Code("error", "Truncated or damaged", leaves="file"),
    "too-large": Code("error", "Too many pixels (decompression bomb)", leaves="file"),
    "wrong-extension": Code("warning", "File name says another format"),
    "cmyk": Code("warning", "CMYK colours"),
    "sixteen-bit": Code("warning", "More than 8 bits a channel"),
    "animated": Code("warning", "Animation or several pages"),
    "tiny": Code("warning", "Very small picture"),
    "blank": Code("warning", "One flat colour"),
    "grey-among-colour": Code("warning", "Grey among colour pictures"),
    "palette": Code("info", "Palette colours"),
    "alpha": Code("info", "Transparency"),
    "rotated": Code("info", "Turned by EXIF"),
    # copies
    "duplicate-two-classes": Code(
        "error", "One picture under two classes", "keep the copy with the right label", leaves="all"
    ),
    "duplicate-across-splits": Code(
        "error", "Identical pictures across splits", "a leak: keep one of them", leaves="lower splits"
    ),
    "duplicate": Code("warning", "Identical pictures", "keep one of them"),
    "near-duplicate-two-classes": Code("warning", "Nearly alike under two classes", "look at their labels"),
    "near-duplicate-across-splits": Code(
        "warning", "Nearly alike across splits", "the test may be easier than it looks"
    ),
    "near-duplicate": Code("warning", "Nearly alike", "keep them in one split: give them one group"),
    "look-alikes": Code("info", "Too many look-alikes to compare every pair"),
    # classes and groups
    "class-too-small": Code("error", f"Class with fewer than {HARD_MINIMUM} pictures", leaves="class"),
    "class-not-in-train": Code("error", "Class without a training picture", leaves="class"),
    "group-across-splits": Code("error", "Group across splits", leaves="lower splits"),
    "empty-class": Code("warning", "Class without a picture"),
    "class-below-floor": Code("warning", "Small class"),
    "class-not-in-split": Code("warning", "Class missing in a split"),
    "imbalance": Code("warning", "Classes of very different size"),
    "attribute-one-class": Code("warning", "Attribute value with one class only"),
    # masks
    "mask-unreadable": Code("error", "Mask not readable", leaves="file"),
    "mask-shape": Code("error", "Mask of another shape than its picture", leaves="file"),
    "mask-size": Code("warning", "Mask of another size than its picture"),
    "mask-missing": Code("warning", "Without a mask"),
    "mask-some-classes": Code("warning", "Masks for some classes only"),
    "mask-some-splits": Code("warning", "Masks in some splits only"),
    "mask-empty": Code("warning", "Empty mask"),
    "mask-full": Code("warning", "Mask covers everything"),
    "mask-inverted": Code("warning", "Masks seem to mark the background"),
    "mask-no-zero": Code("warning", "Masks without a 0"),
    "mask-read-as": Code("info", "How masks were read"),
    # what a network that never saw them says (studies.label_errors)
    "label-doubtful": Code("info", "Label in doubt", "look at these pictures, the most doubted first"),
    # the Clever-Hans probe
    "shortcut": Code("warning", "A trivial cue gives the class"),
}
"""Every code, errors first within a family; the order is the order of the report."""


@dataclass(frozen=True)
class Problem:
    """One thing found."""

    severity: Severity
    code: str
    """A key of ``CODES``."""
    path: str
    """The picture (as in the catalog), or "" when it is about the set."""
    message: str
    related: tuple[str, ...] = ()
    """Further pictures it is about."""

    @classmethod
    def of(cls, code: str, path: str, message: str, related: Iterable[str] = ()) -> "Problem":
        """A problem with the severity of its code."""
        return cls(CODES[code].severity, code, path, message, tuple(related))

    @property
    def paths(self) -> tuple[str, ...]:
        """Every picture it is about."""
        return (self.path, *self.related) if self.path else self.related


@dataclass(frozen=True)
class Cue:
    """How well one trivial cue alone gives the class."""

    name: str
    accuracy: float
    """Cross-validated balanced accuracy (mean of the classes' recalls), 0 to 1."""
    chance: float
    """1 / classes: the balanced accuracy of every constant guess, the majority class too, and of random
    guesses."""
    interval: tuple[float, float]
    """95 % interval of ``accuracy``."""
    verdict: str
    """The finding in a sentence."""
    n: int
    """Pictures probed."""
    kind: Literal["shortcut", "information"] = "shortcut"
    """"shortcut": a network that uses it cheats; "information": may be a true mark of the class."""
    far_above: bool = False
    """Whether the accuracy is far above chance (rule in ``foveate.data.audit.cues``)."""


@dataclass(frozen=True)
class Audit:
    """Result of ``audit``."""

    problems: tuple[Problem, ...]
    """In the order of ``CODES``."""
    cues: tuple[Cue, ...]
    catalog: Catalog
    alike: tuple[tuple[str, ...], ...] = ()
    """Identical and nearly alike pictures, joined to sets: each belongs into one split."""
    mask_sources: tuple[Source, ...] = ()
    """One a picture: drawn, proposed or ""."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that training refuses."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def masks_by_class(self) -> dict[str, dict[str, int]]:
        """{class: {drawn, proposed, none: pictures}}, of labelled pictures."""
        rows = zip(self.catalog.samples, self.mask_sources, strict=False)
        counts = Counter((sample.label, source or "none") for sample, source in rows)
        return {
            name: {source: counts[label, source] for source in ("drawn", "proposed", "none")}
            for label, name in enumerate(self.catalog.classes)
        }

    def quarantine(self) -> set[str]:
        """Paths of pictures to leave out so that no error remains, by ``CODES[code].leaves``.

        Of one picture under two classes all copies go, since nobody knows which label is right. Classes are looked at
        last, after these losses: one left with fewer than three pictures, or without a training picture, goes as a
        whole. Its name stays in ``catalog.classes``; drop it there.
        """
        sample_of = {sample.path: sample for sample in self.catalog.samples}
        out: set[str] = set()
        for problem in self.errors:
            match CODES[problem.code].leaves:
                case "file":
                    out.add(problem.path)
                case "all":
                    out.update(problem.paths)
                case "lower splits":
                    rank = {path: _PRIORITY[sample_of[path].split] for path in problem.paths}
                    out.update(path for path in rank if rank[path] < max(rank.values()))
        by_class: dict[int, list[Sample]] = defaultdict(list)
        for sample in self.catalog.samples:
            if sample.label != UNLABELLED and sample.path not in out:
                by_class[sample.label].append(sample)
        trained = any(s.split == "train" for s in self.catalog.samples if s.label != UNLABELLED)
        for members in by_class.values():
            lost = trained and all(sample.split in ("val", "test") for sample in members)
            if len(members) < HARD_MINIMUM or lost:
                out.update(sample.path for sample in members)
        return out

    def as_dict(self) -> dict[str, Any]:
        """What ``save_json`` writes."""
        severities = [problem.severity for problem in self.problems]
        return {
            "schema_version": SCHEMA_VERSION,
            "catalog_hash": self.catalog.hash,
            "pictures": len(self.catalog),
            "classes": dict(zip(self.catalog.classes, self.catalog.counts().tolist(), strict=True)),
            "splits": dict(Counter(sample.split for sample in self.catalog.samples)),
            "masks": sum(bool(sample.mask) for sample in self.catalog.samples),
            "masks_by_class": self.masks_by_class(),
            "errors": severities.count("error"),
            "warnings": severities.count("warning"),
            "problems": [asdict(problem) for problem in self.problems],
            "cues": [asdict(cue) for cue in self.cues],
            "alike": [list(paths) for paths in self.alike],
            "quarantine": sorted(self.quarantine()),
        }

    def save_json(self, path: Path | str) -> None:
        """Everything, as one JSON object (see ``as_dict``)."""
        write_json(Path(path), self.as_dict())

    def save_csv(self, path: Path | str) -> None:
        """One row a problem: severity, code, path, message, related (paths joined by `` | ``)."""
        rows = [(p.severity, p.code, p.path, p.message, " | ".join(p.related)) for p in self.problems]
        write_csv(Path(path), ("severity", "code", "path", "message", "related"), rows)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sorted by severity, then by code as listed in ``CODES``, then as found."""
    rank = {code: i for i, code in enumerate(CODES)}
    severity = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(problems, key=lambda p: (severity[p.severity], rank[p.code])))

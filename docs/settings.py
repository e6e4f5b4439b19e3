"""Writes settings.md from the code: every field of every settings class, its default, its values and its meaning.

make docs
"""

import inspect
import re
import typing
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from foveate.cli.names import TABLES
from foveate.core.config import Config
from foveate.core.registry import Registry, first_sentence
from foveate.data import annotations
from foveate.data.audit.report import CODES
from foveate.data.grabcut import ProposeConfig
from foveate.data.layouts import DATA_SETS
from foveate.evaluation.explainer_scores import LookConfig
from foveate.experiment import Experiment
from foveate.explanation.inversion import InversionConfig
from foveate.explanation.summit import SummitConfig
from foveate.recipes import RECIPES, STUDIES
from foveate.studies.guides import GUIDES
from foveate.studies.metrics import METRICS
from foveate.studies.search import Search
from foveate.studies.specification import Study

PAGE = Path(__file__).with_suffix(".md")
INTRO = """# Settings

Every setting, with its default, the values that it takes, and its source.
This page is written from the code (`make docs`), and a test keeps it true.

A setting has a place, as `training.phases.1.lr`. On the command line it is given by `--set training.phases.1.lr=0.001`,
in a file for `--config` so:

```yaml
training: {batch_size: 16}
```

`experiment.yaml` in the folder of a run holds all of its settings. An empty value is `null`, here called none.
What is chosen by `kind` ([below](#what-is-chosen-by-kind)) has settings of its own: `{kind: cutmix, p: 0.5}`.
"""
FILES = {
    "A study": ("The file of `foveate study run`. Arms, base and blocks change an experiment.", Study),
    "A search": ("The file of `foveate tune`.", Search),
    "Masks that are proposed": ("`--set` of `foveate masks propose`, as `side=384`.", ProposeConfig),
    "Scores of maps": ("`--set` of `foveate look`, as `faithfulness.fill=black`.", LookConfig),
    "Class images": ("`--set` of `foveate invert`, as `steps=80`.", InversionConfig),
    "Channels": ("`--set` of `foveate summit`, as `share=0.03`.", SummitConfig),
}
BOUNDS = {"ge": "from {}", "gt": "above {}", "le": "to {}", "lt": "below {}"}


def plain(value: Any) -> str:
    """A default as it is written in YAML."""
    if isinstance(value, Config):
        return str(getattr(value, "kind", None) or value.model_dump(mode="json") or "{}")
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(plain, value))}]"
    return str(value) or '""'


def parts(annotation: Any) -> Iterator[Any]:
    """The annotation and all that it is composed of."""
    yield annotation
    for inner in typing.get_args(annotation):
        yield from parts(inner)


def inside(annotation: Any) -> list[type[Config]]:
    """Settings classes in an annotation."""
    return list(
        dict.fromkeys(
            part for part in parts(annotation) if isinstance(part, type) and issubclass(part, Config)
        )
    )


def line(name: str, field: Any, bullet: str = "- ") -> str:
    """One field as an item of a list."""
    default = "needed" if field.is_required() else f"`{plain(field.get_default(call_default_factory=True))}`"
    words = [
        str(value)
        for part in parts(field.annotation)
        if typing.get_origin(part) is typing.Literal
        for value in part.__args__
    ]
    values = [f"one of {', '.join(map(plain, words))}"] if len(words) > 1 else []
    values += [
        text.format(plain(getattr(mark, key)))
        for mark in field.metadata
        for key, text in BOUNDS.items()
        if hasattr(mark, key)
    ]
    allowed = f" ({' '.join(values)})" if values else ""
    about = " ".join((field.description or "").split()).replace("``", "`")
    return f"{bullet}`{name}` {default}{allowed}{': ' if about else ''}{about}"


def code(kind: type[Any]) -> str:
    """The file of a class, as a link from the page."""
    return "../src/" + Path(inspect.getfile(kind)).as_posix().rpartition("/src/")[2]


def tree(kind: type[Config], place: str = "", seen: dict[type[Config], str] | None = None) -> Iterator[str]:
    """All fields of a settings class and of those within it; what is chosen by kind is only named."""
    seen = {} if seen is None else seen
    for name, field in kind.model_fields.items():
        here = f"{place}{name}"
        within = inside(field.annotation)
        means = " ".join((field.description or "").split()).replace("``", "`")
        if not within:
            yield line(here, field)
        elif within[0] in SECTION_OF:
            yield " ".join(f"- `{here}`, by `kind` ({SECTION_OF[within[0]]}): {means}".split()).rstrip(":")
        elif within[0] in seen:
            yield f"- `{here}.`...: as `{seen[within[0]]}...`"
        else:
            below = f"{here}.N." if "tuple" in str(field.annotation) else f"{here}."
            seen[within[0]] = below
            yield f"- [`{below}`...]({code(within[0])}){': ' if means else ''}{means}"
            for part in within:
                yield from tree(part, below, seen) if "kind" not in part.model_fields else ()


def settings_of(entry: type[Any]) -> type[Config]:
    return getattr(entry, "Config", entry)


TABLE_OF: dict[str, Registry] = {
    name: table
    for name, (module, variable) in TABLES.items()
    if isinstance(table := getattr(import_module(module), variable), Registry)
}
SECTION_OF = {
    settings_of(entry): f"[{name}](#{name})" for name, table in TABLE_OF.items() for entry in table.values()
}


def about(entry: type[Any]) -> str:
    """What a class is, its source and its traps."""
    text = " ".join(inspect.cleandoc(entry.__doc__ or "").split()).replace("``", "`")
    first = first_sentence(entry.__doc__)
    source = re.search(r"Sources?: .*?\d{4}(?: \([^)]*\))?", text)
    trap = re.search(r"Trap: [^.]*\.", text)
    more = [
        found.group().rstrip(".") + "." for found in (source, trap) if found and found.group() not in first
    ]
    return " ".join([first, *more])


def registry(name: str, table: Registry) -> Iterator[str]:
    """Every kind of a table; what several of them share is said once."""
    rows = {
        kind: {
            field: line(field, info, "  - ")
            for field, info in settings_of(entry).model_fields.items()
            if field != "kind"
        }
        for kind, entry in table.items()
    }
    count = Counter(row for fields in rows.values() for row in fields.values() if ": " in row)
    shared = {row: row for row, times in count.items() if times > 2}
    yield f"\n### {name}\n"
    if shared:
        yield "Several of them have:\n"
        yield from (row.removeprefix("  ") for row in shared)
        yield "\nThe kinds:\n"
    for kind, entry in table.items():
        common = [f"`{field}`" for field, row in rows[kind].items() if row in shared]
        also = f" Also {', '.join(common)}." if common else ""
        yield f"- [`{kind}`]({code(entry)}): {about(entry)}{also}"
        yield from (row for row in rows[kind].values() if row not in shared)


def page() -> str:
    """The whole page."""
    lines = [INTRO, "## An experiment\n", *tree(Experiment), "\n## What is chosen by kind"]
    for name, table in TABLE_OF.items():
        lines += registry(name, table)
    for title, (text, kind) in FILES.items():
        lines += [f"\n## {title}\n", f"{text}\n", *tree(kind)]
    lists = {
        "Guides": [f"- `{name}`: {guide.about}" for name, guide in GUIDES.items()],
        "Recipes of runs": [f"- `{name}`: {first_sentence(make.__doc__)}" for name, make in RECIPES.items()],
        "Ready studies": [f"- `{name}`: {first_sentence(make.__doc__)}" for name, make in STUDIES.items()],
        "Metrics of studies": [
            *(f"- `{metric.name}`: {metric.title}" for metric in METRICS.values()),
            "- `test.f1.*`: the F1 of every class",
            "- any other place in `result.json` below `metrics`, and any column of `history.csv`",
        ],
        "Mask references": [
            f"- `{reference}`: {means.replace('``', '`')}"
            for reference, means in re.findall(
                r"^\| ``(.+?)`` \| (.+) \|$", annotations.__doc__ or "", re.MULTILINE
            )
        ],
        "Published data sets": [
            f"- {kind.name}: {' '.join((kind.__doc__ or '').split()).replace('``', '`')}"
            + "".join(f" Recognised by `{'`, `'.join(mark)}`." for mark in getattr(kind, "marks", ()))
            for kind in DATA_SETS
        ],
        "What check finds": [
            f"- `{name}`, {found.severity}: {found.title}{f' ({found.advice})' if found.advice else ''}"
            for name, found in CODES.items()
        ],
    }
    for title, items in lists.items():
        lines += [f"\n## {title}\n", *items]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

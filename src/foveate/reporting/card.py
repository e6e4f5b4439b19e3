"""A model card, and answers to checklists of the literature, filled in from a run folder; the rest stays blank."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from foveate.core import manifest
from foveate.core.errors import RunError
from foveate.core.files import SCHEMA_VERSION, write_json, write_text
from foveate.experiment.run_folder import RunFolder
from foveate.reporting.run_facts import Fact, facts_of

CHECKLISTS = ("dome", "reforms", "tripod-ai", "claim")
BLANK = "[to be filled in by hand]"
NEEDED = "[More Information Needed]"
"""What a blank is called in a model card of Hugging Face."""
CARD: dict[str, dict[str, tuple[str, ...]]] = {
    "Model Details": {
        "Model Description": ("network", "output"), "Developed by": (), "Model type": ("network",), "License": (),
        "Finetuned from": ("start",),
    },
    "Uses": {"Direct Use": (), "Out-of-Scope Use": ("unfit",)},
    "Bias, Risks, and Limitations": {
        "Limitations": ("limits", "grouped", "backgrounds"), "Recommendations": ("calibrated",),
    },
    "Training Details": {
        "Training Data": ("source", "counts", "split_classes", "excluded"), "Preprocessing": ("prepared", "augmented"),
        "Training Hyperparameters": ("training", "objective", "regularised", "balance", "selected"),
        "Speeds, Sizes, Times": ("parameters", "duration"),
    },
    "Evaluation": {
        "Testing Data": ("split_how", "together", "evaluated"), "Factors": ("grouped",), "Metrics": ("metrics",),
        "Results": ("interval", "baseline", "calibrated", "failures", "tested"),
    },
    "Model Examination": {"Explanations": ("explained",)},
    "Environmental Impact": {"Hardware Type": ("machine",), "Hours used": ("duration",), "Carbon Emitted": ()},
    "Technical Specifications": {"Software": ("program",), "Reproduction": ("repeat", "settings")},
    "Citation": {"BibTeX": ()},
    "Model Card Contact": {"Contact": ()},
}  # fmt: skip
"""The headings of Hugging Face's template, and the facts under each."""


@dataclass(frozen=True)
class Answers:
    """A checklist, filled in as far as a run says it."""

    title: str
    source: str
    items: tuple[dict[str, Any], ...]
    """number, section, item, answer ("" = blank), files."""

    @property
    def answered(self) -> int:
        """Items that are not blank."""
        return sum(bool(item["answer"]) for item in self.items)

    @property
    def markdown(self) -> str:
        """A table, under what it is and how much of it is filled in."""
        rows = (
            f"| {i['number']} | {_cell(i['section'])} | {_cell(i['item'])} | {_cell(i['answer']) or BLANK} | "
            f"{', '.join(i['files'])} |"
            for i in self.items
        )
        head = f"# {self.title}\n\n{self.source}\n\n{self.answered} of {len(self.items)} items are answered from files."
        return "\n".join(
            [head, "", "| item | section | title | answer | from |", "|---|---|---|---|---|", *rows, ""]
        )


def write_card(
    folder: Path, out: Path | None = None, study: Path | None = None
) -> tuple[Path, dict[str, Answers]]:
    """Write model_card.md and each checklist as Markdown and JSON; the folder, and {checklist: its answers}.

    Args:
        out: None: ``card`` in the run folder.
        study: a study folder, whose comparisons answer what is asked about tests against baselines.

    Raises:
        RunError: no finished run, or a file in it was changed since it finished.
    """
    run = RunFolder.open(folder)
    if not run.finished:
        raise RunError(f"{folder} is not finished; run the same train command again to go on.")
    manifest.check(run.folder, [name for name in manifest.PARTS if name != manifest.WEIGHTS])
    facts, target = facts_of(run, study), out or run.folder / "card"
    write_text(target / "model_card.md", model_card(run, facts))
    found = {name: answers(name, facts) for name in CHECKLISTS}
    for name, filled in found.items():
        write_text(target / f"{name}.md", filled.markdown)
        about = {"schema_version": SCHEMA_VERSION, "title": filled.title, "source": filled.source}
        write_json(
            target / f"{name}.json", about | {"answered": filled.answered, "items": list(filled.items)}
        )
    return target, found


def answers(name: str, facts: dict[str, Fact]) -> Answers:
    """The checklist ``name`` of CHECKLISTS; an item is answered by those of its facts that are known."""
    text = resources.files("foveate.reporting").joinpath(f"checklist-{name}.yaml").read_text(encoding="utf-8")
    known = yaml.safe_load(text)
    items = []
    for number, section, item, wanted in known["items"]:
        told = [facts[fact] for fact in wanted if fact in facts]
        files = list(dict.fromkeys(file for fact in told for file in fact.files))
        answer = " ".join(fact.text for fact in told)
        items.append({"number": number, "section": section, "item": item, "answer": answer, "files": files})
    return Answers(known["title"], known["source"], tuple(items))


def model_card(run: RunFolder, facts: dict[str, Fact]) -> str:
    """Markdown with the metadata of Hugging Face's model cards in front."""
    name = run.data_root.name if run.data_root else run.folder.resolve().name
    about: dict[str, Any] = {
        "library_name": "foveate", "pipeline_tag": "image-classification", "tags": ["image-classification", "timm"],
        "metrics": ["accuracy", "f1"],
    }  # fmt: skip
    measured = (run.stated.get("metrics") or {}).get("test") or {}
    if measured.get("accuracy") is not None:
        values = [
            {"type": kind, "name": title, "value": round(float(measured[key]), 4)}
            for kind, title, key in (("accuracy", "Accuracy", "accuracy"), ("f1", "Macro F1", "macro_f1"))
        ]
        result = {
            "task": {"type": "image-classification"}, "dataset": {"name": name, "type": name, "split": "test"},
            "metrics": values,
        }  # fmt: skip
        about["model-index"] = [{"name": run.folder.resolve().name, "results": [result]}]
    lines = [
        "---",
        yaml.safe_dump(about, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {name}",
        "",
    ]
    for title, parts in CARD.items():
        lines += [f"## {title}", ""]
        for part, wanted in parts.items():
            told = [facts[fact] for fact in wanted if fact in facts]
            files = dict.fromkeys(file for fact in told for file in fact.files)
            said = " ".join(_text(fact.text) for fact in told)
            lines += [
                f"- **{part}:** {said} (from {', '.join(files)})" if told else f"- **{part}:** {NEEDED}"
            ]
        lines.append("")
    return "\n".join(lines)


def _text(text: str) -> str:
    """On one line, with nothing that Markdown or HTML would read."""
    return " ".join(text.replace("<", "&lt;").split())


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")

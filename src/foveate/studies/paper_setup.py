"""What a paper's Methods say of a study's networks, pictures and masks, from its finished cells."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from foveate.data.annotations.proposed import makers
from foveate.data.catalog import SPLITS, UNLABELLED
from foveate.experiment import Run
from foveate.experiment.consumed import consumed
from foveate.studies.engine import folder_of
from foveate.studies.guides import GUIDES, guidance
from foveate.studies.settings_table import starting_weights
from foveate.studies.specification import PLACEBO, Cell, Study
from foveate.studies.tables import span

LOOKED = 2000
"""Masks beyond which no file is opened to tell who made it."""
WHAT = {"train": "training", "val": "validation", "test": "testing"}


def setup(study: Study, folder: Path) -> str:
    """Networks, pictures, phases, guides and masks in sentences; "" before a cell is finished."""
    done = [(cell, run) for cell in study.cells() if (run := Run(folder_of(folder, cell))).finished]
    if not done:
        return ""
    said = [f"{_either(_network(cell, run) for cell, run in done)}."]
    for place in dict.fromkeys(cell.place for cell, _ in done):
        runs = [run for cell, run in done if cell.place == place]
        said.append(f"{f'{place}: ' if place else ''}{_pictures(runs)}.")
        masked = next((run for cell, run in done if cell.place == place and _uses_masks(cell)), None)
        said += [_masks(masked)] if masked else []
    said.append(f"Training had {_either(_phases(cell) for cell, _ in done)}.")
    return " ".join([*said, *guides_in_words(study)])


def _either(words: Iterable[str]) -> str:
    return "; or ".join(dict.fromkeys(words))


def _network(cell: Cell, run: Run) -> str:
    card = run.card
    name = card.get("architecture") or cell.experiment.model.backbone or "that of its weights"
    begun = cell.start.arm if cell.start else starting_weights(cell.experiment)
    learnt = f", pretrained on {known}" if (known := card.get("pretrained_on")) else ""
    return (
        f"The network was {name} (from {begun}{learnt}) on pictures of "
        f"{run.environment['size']} x {run.environment['size']} pixels"
    )


def _pictures(runs: Sequence[Run]) -> str:
    """ "120 pictures of 2 classes: 84 for training and 36 for testing in each run"."""
    labelled = [
        [s for s in run.catalog.samples if s.label != UNLABELLED] or run.catalog.samples for run in runs
    ]
    counts = [Counter(sample.split for sample in samples) for samples in labelled]
    parts = [f"{span(c[split] for c in counts)} for {WHAT[split]}" for split in SPLITS]
    used = [part for part, split in zip(parts, SPLITS, strict=True) if any(c[split] for c in counts)]
    listed = " and ".join(filter(None, (", ".join(used[:-1]), *used[-1:])))
    whole = f"{span(map(len, labelled))} pictures of {len(runs[0].catalog.classes)} classes were used"
    return f"{whole}: {listed} in each run" if listed else whole


def _uses_masks(cell: Cell) -> bool:
    return "masks" in consumed(cell.experiment)


def _masks(run: Run) -> str:
    masks = [sample.mask for sample in run.catalog.samples if sample.mask]
    made = makers(run.data_root, masks) if run.data_root and len(masks) <= LOOKED else None
    if made is None or made.total() < len(masks):
        return f"{len(masks)} pictures had a mask."
    return f"{len(masks)} pictures had a mask, {made['drawn']} drawn and {made['proposed']} proposed by a program."


def _phases(cell: Cell) -> str:
    phases = cell.experiment.training.phases
    words = [
        f"{'at most ' if phase.early_stopping or phase.until else ''}{phase.epochs} epochs ({phase.name})"
        for phase in phases
    ]
    return ", then ".join(words)


def guides_in_words(study: Study) -> list[str]:
    """What each guided arm does, where its settings are those of a guide."""
    said = []
    for arm, changes in study.arms.items():
        if arm.endswith(PLACEBO):
            continue
        for name, guide in GUIDES.items():
            own = guidance(name)
            if own["objective"] == changes.get("objective") and own["transforms"] == changes.get(
                "transforms"
            ):
                placebo = f" {arm}{PLACEBO}: the same with the masks of other pictures." * (
                    f"{arm}{PLACEBO}" in study.arms
                )
                said.append(f"{arm}: {guide.about[:1].lower()}{guide.about[1:]}{placebo}")
    return said

"""What a paper's Methods say of a study's networks, pictures and masks, from its finished cells."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from foveate.core.registry import first_sentence
from foveate.data.annotations.proposed import makers
from foveate.data.catalog import SPLITS, UNLABELLED
from foveate.data.presets import PRESETS
from foveate.experiment import Run
from foveate.experiment.consumed import consumed
from foveate.studies.engine import folder_of
from foveate.studies.guides import GUIDES, guides_of
from foveate.studies.settings_table import augmentation, starting_weights
from foveate.studies.specification import PLACEBO, Cell, Study
from foveate.studies.tables import span
from foveate.training.optimizers import OPTIMIZERS

TOLD = 3
"""Ways to train; more are left to a table."""
PROGRAMS = {"foveate": "Foveate", "torch": "PyTorch", "timm": "timm"}
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
    trained = list(dict.fromkeys(_phases(cell) for cell, _ in done))
    said.append(
        f"Training had {'; or '.join(trained)}."
        if len(trained) <= TOLD
        else "settings.csv says how arms were trained."
    )
    said += [
        f"Augmentation of training pictures: {words}."
        for words in dict.fromkeys(_augmentation(cell) for cell, _ in done)
    ][:TOLD]
    versions = done[0][1].environment["versions"]
    known = [f"{title} {versions[name]}" for name, title in PROGRAMS.items() if name in versions]
    return " ".join([*said, *guides_in_words(study), f"Trained and compared with {', '.join(known)}."])


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
    training = cell.experiment.training
    words = [
        f"{'at most ' if phase.early_stopping or phase.until else ''}{phase.epochs} epochs ({phase.name}: "
        f"{OPTIMIZERS[phase.optimizer.kind].__name__}, "
        f"{'a learning rate found on the training pictures' if phase.lr == 'auto' else f'learning rate {phase.lr:g}'}, "
        f"{phase.schedule.kind.replace('_', ' ')})"
        for phase in training.phases
    ]
    return f"{', then '.join(words)}, in batches of {training.batch_size}"


def _augmentation(cell: Cell) -> str:
    augment = cell.experiment.data.augment
    if augment.steps is not None:
        return augmentation(cell.experiment).replace("_", " ")
    return f"{_clause(first_sentence(PRESETS[augment.preset].__doc__))} (preset {augment.preset})"


def _clause(sentence: str) -> str:
    """To be used within another sentence; "GAIN" and "MSE" keep their capitals."""
    words = sentence.rstrip(".")
    return words if words[1:2].isupper() else f"{words[:1].lower()}{words[1:]}"


def guide_words(study: Study, arm: str) -> str:
    """What this arm does with masks, a clause without a full stop; "" where its settings are those of no guide, or the
    study does not list it."""
    if arm not in study.arms:
        return ""
    if arm.endswith(PLACEBO):
        guided = guide_words(study, arm.removesuffix(PLACEBO))
        return "the same with the masks of other pictures" if guided else ""
    return "; and ".join(_clause(GUIDES[name].about) for name in guides_of(study.arms[arm]))


def guides_in_words(study: Study) -> list[str]:
    """A sentence for each arm whose settings are those of a guide, its placebo in the same."""
    said = []
    for arm in study.arms:
        if arm.endswith(PLACEBO) or not (about := guide_words(study, arm)):
            continue
        placebo = guide_words(study, f"{arm}{PLACEBO}")
        said.append(f"{arm}: {about}." + f" {arm}{PLACEBO}: {placebo}." * bool(placebo))
    return said

"""What a run folder says, fact by fact, each with the files that it is from; checklists and the model card choose."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foveate.core.errors import DataError
from foveate.core.reading import read_csv, read_yaml
from foveate.evaluation.answering import answer_rule, answering, in_words
from foveate.evaluation.summary import summarise
from foveate.experiment.run_folder import RunFolder
from foveate.studies.metrics import value_at

SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Fact:
    """A sentence or two."""

    text: str
    files: tuple[str, ...]


def facts_of(run: RunFolder, study: Path | None = None) -> dict[str, Fact]:
    """{name: fact}, as far as the folder says it."""
    found: dict[str, Fact] = {}
    for part in (_pictures, _network, _training, _results, _program):
        found |= {name: Fact(text, tuple(files)) for name, text, *files in part(run) if text}
    if study is not None:
        found["tested"] = _tested(study)
    return found


Said = Iterator[tuple[str, ...]]
"""Of facts: (name, text, file, ...)."""


def _pictures(run: RunFolder) -> Said:
    rows, names = run.listed, run.class_names
    at, env = "catalog.csv", "environment.json"
    root = run.data_root.name if run.data_root else "unknown"
    labelled = [row for row in rows if row["label"]]
    by_split = Counter(row["split"] for row in labelled)
    sizes = ", ".join(f"{SPLITS[s]} {by_split[s]}" for s in SPLITS if by_split[s])
    yield "source", f"Folder '{root}', catalog hash {run.noted.get('catalog_hash', 'unknown')}.", env
    yield "counts", f"{len(labelled)} labelled pictures of {len(names)} classes.", at
    yield "classes", f"The class of a picture, one of {len(names)}: {', '.join(names)}.", at
    yield "split_sizes", f"{sum(map(bool, by_split.values()))} splits: {sizes}.", at
    yield (
        "split_use",
        "Training pictures fit the network, validation pictures choose the epoch, test pictures judge.",
        at,
    )
    each = {s: Counter(row["label"] for row in labelled if row["split"] == s) for s in SPLITS}
    told = "; ".join(
        f"{name} {' / '.join(str(each[s][name]) for s in SPLITS if by_split[s])}" for name in names
    )
    yield (
        "split_classes",
        f"Pictures of each class ({' / '.join(SPLITS[s] for s in SPLITS if by_split[s])}): {told}.",
        at,
    )
    split = value_at(run.settings, "data", "split") or {}
    how = (
        "By the split file"
        if split.get("file")
        else "A split that the data set brings is kept, the rest is divided"
    )
    yield (
        "split_how", f"{how}, stratified by class, groups whole, at random (seed {split.get('seed')}; validation "
        f"{split.get('val')}, test {split.get('test')}).", "experiment.yaml",
    )  # fmt: skip
    groups = {row["group"] for row in rows if row["group"]}
    many = f"{len(groups)} groups (of one individual, or of near copies) are each in one split alone"
    yield (
        "together", f"{many if groups else 'No groups are known'}. Identical and nearly alike "
        "pictures were looked for, and leaks between splits are refused.", at, env,
    )  # fmt: skip
    left = run.noted.get("quarantined") or []
    reasons = "; ".join(f"{why}: {n}" for why, n in Counter(q["reason"] for q in left).most_common())
    yield "excluded", f"{len(left)} pictures were left out{f' ({reasons})' if left else ''}.", env
    yield (
        "unlabelled",
        f"{len(rows) - len(labelled)} of {len(rows)} pictures have no label; nothing was filled in.",
        at,
    )
    notes = [str(note) for note in run.noted.get("notes") or []]
    yield (
        "checked",
        f"Every file was checked before training (readable, copies, labels, masks). {' '.join(notes)}",
        env,
    )
    yield (
        "unfit",
        "Files that cannot be read get no prediction and are listed with the reason.",
        "environment.json",
    )


def _network(run: RunFolder) -> Said:
    card, at = run.card, "model.json"
    kind = value_at(card, "network", "kind") or "classifier"
    size = run.noted.get("size")
    yield (
        "network",
        f"Deep neural network: {card.get('architecture')}, built as '{kind}', with a head for the classes.",
        at,
    )
    yield (
        "known_network",
        f"No: {card.get('architecture')} is a published architecture." if kind == "classifier" else "",
        at,
    )
    yield "only_pictures", "No: the input is the picture alone, no output of another model.", at
    yield "inputs", f"Pixels of 3 x {size} x {size}; the head receives {card.get('features')} features.", at
    yield "no_selection", "No feature was selected.", at
    yield "chosen_size", "By the architecture and the number of classes.", at
    fit = value_at(run.settings, "data", "fit")
    yield (
        "prepared", f"Upright 8-bit RGB, {fit} to {size} x {size} px, each channel minus {card.get('mean')} divided by "
        f"{card.get('std')}: constants, not fitted to these pictures.", at, "experiment.yaml",
    )  # fmt: skip
    preset = value_at(run.settings, "data", "augment", "preset")
    steps = [item.get("kind") for item in run.settings.get("transforms") or []]
    yield (
        "augmented",
        f"In training alone: preset {preset}{', ' + ', '.join(steps) if steps else ''}.",
        "experiment.yaml",
    )
    started = card.get("pretrained_on") or value_at(run.settings, "model", "weights")
    yield "start", f"{Path(str(started)).name if '/' in str(started) else started}; the head at random.", at
    count = (run.noted.get("network") or "").splitlines()
    yield "parameters", f"{count[-1]}." if count else "", "environment.json"
    if run.has("maps.npz"):
        yield (
            "explained",
            "Black box; class maps (Grad-CAM) of example pictures are in the report.",
            "maps.npz",
            "report.html",
        )
    yield (
        "output",
        f"Classification: a probability for each of {len(run.class_names)} classes; the most probable is the answer.",
        at,
    )
    yield "single", "None: one network.", at


def _training(run: RunFolder) -> Said:
    settings, at = run.settings, "experiment.yaml"
    phases = value_at(settings, "training", "phases") or []
    told = "; ".join(
        f"phase {p.get('name')}: at most {p.get('epochs')} epochs of {p.get('trainable')}, "
        f"{value_at(p, 'optimizer', 'kind')}, learning rate {p.get('lr')}, {value_at(p, 'schedule', 'kind')} schedule"
        for p in phases
    )
    yield (
        "training",
        f"{told}; batch size {value_at(settings, 'training', 'batch_size')}, seed {settings.get('seed')}.",
        at,
    )
    terms = {
        name: term.get("kind")
        for name, term in (settings.get("objective") or {}).items()
        if isinstance(term, dict)
    }
    yield "objective", f"Loss: {', '.join(f'{name} ({kind})' for name, kind in terms.items())}.", at
    used = [f"weight decay {value_at(p, 'optimizer', 'weight_decay')} ({p.get('name')})" for p in phases]
    used += [
        f"weights of the best {p['restore_best']} kept ({p.get('name')})"
        for p in phases
        if p.get("restore_best")
    ]
    used += [f"early stopping ({p.get('name')})" for p in phases if p.get("early_stopping")]
    yield (
        "regularised",
        f"{', '.join(used)}; augmentation preset {value_at(settings, 'data', 'augment', 'preset')}.",
        at,
    )
    sampling = value_at(settings, "training", "loader", "sampling")
    weights = value_at(settings, "objective", "classification", "class_weights")
    yield "balance", f"Sampling {sampling}, class weights {weights}.", at
    rules = [
        d["reason"] for d in run.noted.get("decisions") or [] if str(d.get("name")).startswith("epoch kept")
    ]
    if rules:
        yield "selected", f"{'; '.join(rules)}. The test took no part.", "environment.json"
    yield (
        "settings",
        "All settings are in experiment.yaml, the weights in model.safetensors.",
        at,
        "model.safetensors",
    )
    history = run.history if run.has("history.csv") else []
    if history and history[-1].get("train_accuracy") is not None:
        last = history[-1]
        test = value_at(run.stated, "metrics", "test", "accuracy")
        said = f"training {last['train_accuracy']:.3f}, validation {last.get('val_accuracy')}; test {test}"
        yield "fit", f"Accuracy in the last epoch: {said}.", "history.csv", "result.json"


def _results(run: RunFolder) -> Said:
    table, at = run.predictions, "predictions.csv"
    split = next((s for s in ("test", "val") if s in table.splits), None)
    if split is None:
        return
    m = summarise(table, split)
    yield "evaluated", f"Development and internal evaluation: {m['n']} held-out {SPLITS[split]} pictures.", at
    yield (
        "interval", f"Accuracy {m['accuracy']:.3f} (95 % interval {m['accuracy_low']:.3f} to {m['accuracy_high']:.3f}; "
        f"Wilson, wider where pictures come in groups), n = {m['n']}; an interval for each class in result.json.",
        at, "result.json",
    )  # fmt: skip
    yield (
        "metrics", f"Accuracy {m['accuracy']:.3f}, balanced accuracy {m['balanced_accuracy']:.3f}, macro F1 "
        f"{m['macro_f1']:.3f}, log loss {m['nll']:.3f}, Brier score {m['brier']:.3f}, calibration error "
        f"{m['ece']:.3f}; precision and recall of each class, confusion matrix.", at, "result.json",
    )  # fmt: skip
    yield (
        "baseline", f"Always the most frequent class: {m['chance_majority']:.3f}; a uniform guess: "
        f"{m['chance_uniform']:.3f}.", at,
    )  # fmt: skip
    yield (
        "raw",
        "predictions.csv: every measured picture with all probabilities; confusion matrix in result.json.",
        at,
        "result.json",
    )
    pairs = [f"{p['a']} and {p['b']} ({p['n']})" for p in m["confused_pairs"][:3]]
    yield (
        "failures",
        f"{m['n'] - m['correct']} wrong answers; most often confused: {', '.join(pairs) or 'none'}.",
        at,
        "report.html",
    )
    worst = [
        f"{name}: {found['worst']['value']} {found['worst']['accuracy']:.3f}"
        for name, found in m.get("attributes", {}).items()
    ]
    yield "subgroups", f"Lowest by attribute: {'; '.join(worst)}." if worst else "", at
    grouped = (
        f"{m['groups']['n']} groups, mean accuracy {m['groups']['mean_accuracy']:.3f}" if m["groups"] else ""
    )
    known = (
        "; ".join(filter(None, (grouped, *worst)))
        or "Not examined: no groups or attributes are known of these pictures"
    )
    yield "grouped", f"{known}.", at
    tests = value_at(run.stated, "metrics", split, "backgrounds")
    if tests:
        told = ", ".join(
            f"{t} {tests[t]['accuracy']:.3f}" for t in ("original", "swapped", "removed") if t in tests
        )
        yield "backgrounds", f"Accuracy with other backgrounds and without the object: {told}.", "result.json"
    if split == "test" and "val" in table.splits:
        yield "calibrated", " ".join(in_words(answering(table.of_split(split), answer_rule(table)))), at
    yield (
        "limits", f"Test pictures are of the same set as the training pictures: nothing is known of others. One "
        f"training run (seed {run.settings.get('seed')}); the interval is "
        f"{100 * (m['accuracy_high'] - m['accuracy_low']):.0f} points wide.",
        at, "experiment.yaml",
    )  # fmt: skip


def _program(run: RunFolder) -> Said:
    at, noted = "environment.json", run.noted
    versions = ", ".join(f"{name} {version}" for name, version in (noted.get("versions") or {}).items())
    yield (
        "program",
        f"Foveate (Apache-2.0) with {versions}; 'foveate predict' and 'foveate evaluate' use it.",
        at,
    )
    machine = f"{noted.get('platform')}, {noted.get('processors')} processors"
    yield (
        "machine",
        f"{machine}, accelerator {noted.get('accelerator') or 'none'}, Python {noted.get('python')}.",
        at,
    )
    if (seconds := run.stated.get("wall_seconds")) is not None:
        yield "duration", f"Trained and measured in {seconds:.0f} s.", "result.json"
    yield "repeat", f"`{noted['command']}`" if noted.get("command") else "", at


def _tested(study: Path) -> Fact:
    """Verdicts of a study's comparisons."""
    rows = [
        row
        for _, row in read_csv(study / "comparisons.csv", ("metric", "arm", "verdict"), DataError).records()
    ]
    rows = [row for row in rows if row["verdict"] and row["metric"] == rows[0]["metric"]]
    arms = len(read_yaml(study / "study.yaml", DataError).get("arms") or {})
    told = "; ".join(f"{row['arm']}: {row['verdict']}" for row in rows)
    measured = f", compared by {rows[0]['metric']}" if rows else ""
    return Fact(
        f"A study of {arms} arms with paired seeds{measured}. {told}.", (f"{study.name}/comparisons.csv",)
    )

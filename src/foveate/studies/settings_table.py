"""What each model of a study was trained with, as a table that the study writes itself; and its pretext runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foveate.experiment import Experiment, Run
from foveate.experiment.consumed import consumed
from foveate.studies.engine import folder_of
from foveate.studies.specification import Cell, Study
from foveate.studies.tables import Column, Table


def settings_table(study: Study, folder: Path) -> Table:
    """A row for each arm (of each block), pretext runs before the first arm that starts from them.

    Settings are those of the experiment's last phase; epochs are those that were trained, over all seeds.
    """
    cells = study.cells()
    groups: list[Sequence[Cell]] = []
    for block in study.block_names:
        for arm in study.arm_changes():
            same = [cell for cell in cells if (cell.block, cell.arm) == (block, arm)]
            starts = [cell.start for cell in same if cell.start]
            known = {group[0].key for group in groups}
            groups += [starts, same] if starts and starts[0].key not in known else [same]
    rows = [_row(group, folder) for group in groups]
    columns = tuple(Column(name, number=False) for name in rows[0])
    return _without_blocks(Table("Settings", columns, tuple(tuple(row.values()) for row in rows)), study)


def pretext_table(study: Study, folder: Path) -> Table | None:
    """How well the pretext runs do what they were asked, and how good their features are; None without any."""
    rows = []
    for start in {cell.start.key: cell.start for cell in study.cells() if cell.start}.values():
        run = Run(folder_of(folder, start))
        if run.finished:
            metrics = run.result["metrics"]
            asked = [metrics.get("val"), metrics.get("test")]
            asked.append(metrics.get("test", metrics.get("val", {})).get("neighbours"))
            names = (start.block, start.arm, starting_weights(start.experiment), str(start.seed))
            rows.append((*names, *map(_accuracy, asked)))
    names = ("Block", "Task", "From", "Seed")
    numbers = ("Validation accuracy", "Test accuracy", "k-NN of the features, classes")
    columns = (*(Column(name, number=False) for name in names), *map(Column, numbers))
    return _without_blocks(Table("Pretext runs", columns, tuple(rows)), study) if rows else None


def _without_blocks(table: Table, study: Study) -> Table:
    if study.block_names != ("",):
        return table
    return Table(table.title, table.columns[1:], tuple(row[1:] for row in table.rows))


def _row(cells: Sequence[Cell], folder: Path) -> dict[str, str | None]:
    experiment, start = cells[0].experiment, cells[0].start
    phase, size = experiment.training.phases[-1], experiment.data.size
    optimizer = phase.optimizer.kind
    return {
        "Block": cells[0].block,
        "Model": cells[0].arm,
        "Pictures": f"{size} px" if size else "as the weights",
        "Learning rate": _rates(experiment),
        "Schedule": phase.schedule.kind.replace("_", " "),
        "Optimizer": optimizer.upper() if optimizer == "sgd" else optimizer.capitalize(),
        "Loss": _loss(experiment),
        "Batch": str(experiment.training.batch_size),
        "Epochs": _epochs(cells, folder),
        "Linear layers of the head": _layers(experiment),
        "Augmentation": augmentation(experiment),
        "Backbone": _backbone(experiment),
        "Last layer": experiment.last_layer.kind if experiment.last_layer else "as trained",
        "Consumed": ", ".join(consumed(experiment)) or "nothing",
        "Starts from": start.arm if start else starting_weights(experiment),
    }


def _rates(experiment: Experiment) -> str:
    """The peak rates of all phases that train what the last one trains; one where they are alike."""
    phases = experiment.training.phases
    same = [phase.lr for phase in phases if phase.trainable == phases[-1].trainable]
    words = [f"{rate:g}" if isinstance(rate, float) else rate for rate in same]
    return ", then ".join(words if len(set(words)) > 1 else words[:1])


def _loss(experiment: Experiment) -> str:
    names = []
    for name, term in experiment.objective.items():
        weights = getattr(term, "class_weights", "none")
        if isinstance(weights, dict):
            how = ", ".join(f"{label} {weight:g}" for label, weight in weights.items())
            names.append(f"{term.kind.replace('_', ' ')} ({how})")
        elif term.weight or len(experiment.objective) == 1:
            names.append(term.kind.replace("_", " ") + (f" ({weights})" if weights != "none" else ""))
        else:
            names.append(f"{name}: measured only")
    return " + ".join(names)


def _epochs(cells: Sequence[Cell], folder: Path) -> str:
    """Trained epochs over the seeds, and the most there could have been."""
    runs = [Run(folder_of(folder, cell)) for cell in cells]
    trained = sorted({len(run.history) for run in runs if run.finished})
    most = sum(phase.epochs for phase in cells[0].experiment.training.phases)
    if not trained:
        return f"at most {most}"
    span = f"{trained[0]} to {trained[-1]}" if len(trained) > 1 else str(trained[0])
    return span if trained == [most] else f"{span} of {most}"


def _layers(experiment: Experiment) -> str:
    from foveate.models.heads import HEADS

    head, network = experiment.model.head, experiment.model.network.kind
    return str(len(HEADS[head.kind].widths(head)) + 1) if network == "classifier" else f"those of {network}"


def augmentation(experiment: Experiment) -> str:
    """The name of the preset, or the kinds of the steps; "none" without any."""
    augment = experiment.data.augment
    if augment.steps is None:
        return augment.preset
    return ", ".join(str(step["kind"]) for step in augment.steps) or "none"


def _backbone(experiment: Experiment) -> str:
    phase = experiment.training.phases[-1]
    if phase.trainable == "all":
        return "trained"
    if phase.trainable != "head":
        return phase.trainable
    return "frozen" if phase.freeze_bn else "weights frozen, BatchNorm statistics move"


def starting_weights(experiment: Experiment) -> str:
    weights = experiment.model.weights
    names = {"none": "random weights", "pretrained": "ImageNet (timm)"}
    return names.get(weights, Path(weights).name)


def _accuracy(values: dict[str, Any] | None) -> str | None:
    if not values or values.get("accuracy") is None:
        return None
    return f"{100 * values['accuracy']:.1f}%"

"""run(experiment, data, out) -> Run: from a folder of pictures to a finished run folder."""

import shutil
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from filelock import FileLock

from foveate.augmentation import build_transforms
from foveate.core import manifest
from foveate.core.config import deciding
from foveate.core.errors import RunError
from foveate.core.files import write_json
from foveate.core.memory import PeakMemory
from foveate.core.version import VERSION
from foveate.data.cache import open_pictures
from foveate.data.cache_config import cache_folder
from foveate.data.catalog import Catalog
from foveate.data.loader import resolve_workers
from foveate.data.split import split_hash
from foveate.data.square import whole
from foveate.data.training_masks import MasksConfig, require_masks, training_masks
from foveate.data.transforms import build_transform
from foveate.evaluation.measure import measure
from foveate.evaluation.subject import pick_device
from foveate.experiment.consumed import consumed, needs_own_masks
from foveate.experiment.known_pictures import learnt_before
from foveate.experiment.learned_masks import with_learned_masks
from foveate.experiment.ownership import check_same_pictures, claim, hold
from foveate.experiment.prepare import prepare
from foveate.experiment.records import environment_of, result_of
from foveate.experiment.run import Run
from foveate.experiment.specification import Experiment
from foveate.experiment.subjects import (
    asker_of,
    evaluators_of,
    measured,
    measured_rows,
    question_rows,
    subject_of,
)
from foveate.feedback import FEEDBACKS
from foveate.last_layer.refit import refit
from foveate.models.build import build_network, picture_size
from foveate.models.networks import Network
from foveate.models.store import save_model
from foveate.models.summary import summarise_network
from foveate.models.weights import resolve_weights
from foveate.objectives import Context, Objective
from foveate.training import Decisions, Feeds, Job, Observer, fit
from foveate.training.batch_size import decide_batch_size
from foveate.training.checks import check_batches
from foveate.training.distributed import from_main, refuse_sharded
from foveate.training.interrupt import watch_signals
from foveate.training.shared_features import SharedFeatures


@watch_signals()
def run(
    experiment: Experiment,
    data: Path | str,
    out: Path | str,
    *,
    quarantine: bool = False,
    observer: Observer | None = None,
    shared: Path | None = None,
    trained: Path | None = None,
    starts: Path | None = None,
    timed: bool = False,
) -> Run:
    """Train and evaluate; go on where an earlier, unfinished run in ``out`` stopped.

    Args:
        data: a folder (or CSV manifest) of pictures.
        out: the run folder; it must be new, or hold this very experiment.
        quarantine: leave out the pictures in which the check found errors, instead of refusing to train.
        shared: a folder in which the runs of a study leave the features of a frozen backbone for each other.
        trained: a finished run of the same training (``Experiment.training_hash``), weights kept: its network is
            measured as this experiment says, and not trained again.
        starts: a folder in which the runs of a study find the pretext runs that they start from (``experiment.start``),
            each under its experiment's hash; None keeps it as ``start`` in the run folder.
        timed: first say how long training takes, from a few timed steps (a second or two).

    In a distributed run (torchrun) the main process alone measures; on the others the run that is
    returned may not be finished yet.

    Raises:
        BusyError: another process is at work in ``out``.
        RunError: ``out`` holds another experiment or other pictures.
        DataError, WeightsError, ConfigError, TrainingError, Interrupted: as the parts say.
    """
    data, out = Path(data), Path(out)
    device = pick_device(experiment.training.device)
    refuse_sharded()
    accelerator = Accelerator(cpu=device.type == "cpu")
    # The same step must give the same bits; on a CPU it does by itself.
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    observer = observer if observer and accelerator.is_main_process else Observer()
    with hold(out) if accelerator.is_main_process else nullcontext():
        return _run(
            experiment, data, out, device, accelerator, observer, quarantine=quarantine, shared=shared,
            trained=trained, starts=starts, timed=timed,
        )  # fmt: skip


def _run(
    experiment: Experiment, data: Path, out: Path, device: torch.device, accelerator: Accelerator, observer: Observer,
    *, quarantine: bool, shared: Path | None, trained: Path | None, starts: Path | None, timed: bool,
) -> Run:  # fmt: skip
    started, memory = time.time(), PeakMemory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    # In a distributed run the main process goes first wherever files are written, and the others read them.
    with accelerator.main_process_first():
        claim(experiment, out)
    if from_main(accelerator, Run(out).finished):
        manifest.check(out)
        observer.message(f"{out} is finished already; nothing to do.")
        for folder in ("checkpoint", "feedback"):  # a kill right after the end leaves them
            shutil.rmtree(out / folder, ignore_errors=True)
        return Run(out)
    weights = _first_run(experiment, data, out, starts, quarantine, observer, accelerator)
    if weights is None:
        resolve_weights(experiment.model)  # what is missing is told before the pictures are read
    with accelerator.main_process_first():
        prepared = prepare(
            data, experiment.data, quarantine=quarantine, observer=observer, labels=experiment.task is None
        )
    known = prepared.catalog
    learnt = learnt_before(known, experiment.model.weights)
    if learnt:
        prepared = replace(prepared, notes=(*prepared.notes, learnt))
    catalog = asked(experiment, known, observer.progress)
    check_same_pictures(out, catalog)
    for note in prepared.notes:
        observer.message(note)
    decisions = Decisions(
        out,
        observer.decision,
        agree=lambda value: from_main(accelerator, value),
        write=accelerator.is_main_process,
    )
    accelerator.wait_for_everyone()
    model, size, notes = build_model(experiment, weights, catalog, accelerator)
    for note in notes:
        observer.message(note)
    network = summarise_network(model).text()
    observer.message(network)
    environment = environment_of(data, prepared, catalog, size, experiment) | {"network": network}
    if accelerator.is_main_process:
        catalog.to_csv(out / "catalog.csv")
        write_json(out / "environment.json", environment)
    begun = time.time()
    if trained is None:
        job = build_job(experiment, catalog, model, size, accelerator, out, observer, decisions, shared)
        history = fit(replace(job, timed=timed))
    else:
        history = _adopt(trained, experiment, catalog, model, out)
        observer.message(f"The network is that of {trained}, which was trained alike.")
    # Epochs of processes that were stopped, or of the run whose network this is.
    earlier = max(0.0, sum(row["seconds"] for row in history) - (time.time() - begun))
    if not accelerator.is_main_process:
        return Run(out)
    names = {"train": "training", "val": "validation", "test": "test"}
    *first, last = [name for split, name in names.items() if split in experiment.evaluation.splits]
    told = f"{', '.join(first)} and {last}" if first else last
    observer.message(f"Measuring on the {told} pictures.")
    seen = measured(catalog, experiment)
    cache = experiment.data.cache
    subject = subject_of(
        experiment, model, seen, size, device, cache=cache, own=known, progress=observer.progress
    )
    if experiment.last_layer is not None:
        rows, masks = catalog.indices("train"), experiment.data.masks
        opened = partial(open_pictures, size=size, fit=experiment.data.fit, config=experiment.data.cache)
        learn = _learner(experiment, size, experiment.data.fit, device, observer)
        masked = partial(training_masks, catalog, rows, masks, experiment.seed, opened, learn)
        decisions.note("last layer", *refit(experiment.last_layer, subject, catalog, experiment.seed, masked))
    decisions.note(
        "consumed", ", ".join(consumed(experiment)) or "nothing", "beside pictures and their classes"
    )
    _save(model, out, catalog, experiment)
    table, metrics = measure(
        subject, measured_rows(experiment, seen), evaluators_of(experiment, subject), out
    )
    table.to_csv(out / "predictions.csv")
    environment["decisions"] = decisions.as_list()
    write_json(out / "environment.json", environment)
    result = result_of(experiment, catalog, metrics, history, time.time() - started + earlier)
    peaks = {"peak_memory": memory.read()}
    if device.type == "cuda":
        peaks["peak_device_memory"] = torch.cuda.max_memory_allocated(device)
    before = Run(trained).result if trained else {}
    result |= {name: max(value or 0, before.get(name) or 0) or None for name, value in peaks.items()}
    manifest.finish(out, result)
    for folder in ("checkpoint", "feedback"):
        shutil.rmtree(out / folder, ignore_errors=True)
    return Run.open(out)


def _save(model: Network, folder: Path, catalog: Catalog, experiment: Experiment) -> None:
    save_model(
        model, folder, class_names=catalog.classes, class_ids=catalog.class_ids,
        preprocessing={"fit": experiment.data.fit}, versions={"foveate": VERSION},
    )  # fmt: skip


def _adopt(
    trained: Path, experiment: Experiment, catalog: Catalog, model: Network, out: Path
) -> list[dict[str, Any]]:
    """Take the network and the history of another run of the same training."""
    other = Run.open(trained)
    same = (
        other.experiment.last_layer is None
        and other.experiment.training_hash() == experiment.training_hash()
        and other.result["split_hash"] == split_hash(catalog)
        and other.result["catalog_hash"] == catalog.hash
    )
    if not same:
        raise RunError(f"{trained} trained another network than {out} asks for; train {out} by itself.")
    model.load_state_dict(other.model.state_dict())
    shutil.copyfile(trained / "history.csv", out / "history.csv")
    return [{name: value for name, value in row.items() if value is not None} for row in other.history]


def _first_run(
    experiment: Experiment, data: Path, out: Path, starts: Path | None, quarantine: bool, observer: Observer,
    accelerator: Accelerator,
) -> Path | None:  # fmt: skip
    """The finished pretext run that the experiment starts from: found, gone on with, or trained now."""
    first = experiment.first()
    if first is None:
        return None
    folder = starts / first.hash() if starts else out / "start"
    if not from_main(accelerator, Run(folder).finished):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with accelerator.main_process_first(), FileLock(folder.with_name(f".{folder.name}.lock")):
            observer.message(f"First the pretext run '{first.task_name}', in {folder}.")
            run(first, data, folder, quarantine=quarantine, observer=observer)
    return folder


def asked(experiment: Experiment, catalog: Catalog, progress: Any = None) -> Catalog:
    """The catalog that is learned: the pictures' own classes, or the questions of the experiment's task."""
    if experiment.task is None:
        return catalog
    size = picture_size(experiment.model, experiment.data.size)
    return question_rows(experiment, catalog, size, experiment.data.cache, progress)


def build_model(
    experiment: Experiment, weights: Path | None, catalog: Catalog, accelerator: Accelerator
) -> tuple[Network, int, tuple[str, ...]]:
    config = experiment.model
    if weights is not None:
        config = config.model_copy(update={"weights": str(weights)})
    model = build_network(
        config, classes=len(catalog.classes), size=experiment.data.size, seed=experiment.seed,
        class_ids=catalog.class_ids,
    )  # fmt: skip
    if experiment.task is not None:
        # What the weights of this run are worth to the next one hangs on all that they have learnt.
        before = model.card.pretrained_on or "random weights"
        model.card = model.card.model_copy(
            update={"pretrained_on": f"{before}, then the pretext task {experiment.task_name}"}
        )
    return model.to(accelerator.device), model.input_size, model.notes


def build_job(
    experiment: Experiment, catalog: Catalog, model: Network, size: int, accelerator: Accelerator,
    out: Path | None, observer: Observer, decisions: Decisions, shared: Path | None,
) -> Job:  # fmt: skip
    config = experiment.training
    augment = experiment.data.augment
    labelled = experiment.task is None  # a task that makes pairs of views gives no labels
    rows = {name: catalog.indices(name, labelled=labelled) for name in ("train", "val")}
    asker = asker_of(experiment, catalog, model)
    share = len(rows["train"]) // accelerator.num_processes
    check_batches(model, config, share, asker.copies if asker else 1)
    shape, side = whole(experiment.data.fit, size)
    if needs_own_masks(experiment):
        require_masks(catalog, rows["train"] if labelled else ())
    with accelerator.main_process_first():
        opened = partial(
            open_pictures, size=side, fit=shape, config=experiment.data.cache, progress=observer.progress
        )
        pictures, used, how = training_masks(
            catalog,
            rows["train"],
            experiment.data.masks if labelled else MasksConfig(),  # the questions of a task have no masks
            experiment.seed,
            opened,
            _learner(experiment, size, shape, accelerator.device, observer),
        )
    asked_for = "masks" in consumed(experiment) or experiment.data.masks != MasksConfig()
    if asked_for and (catalog.has_masks or pictures.has_masks):
        decisions.note("masks in training", used, how)
    workers, why = resolve_workers(
        config.loader,
        cached=experiment.data.cache.enabled,
        device_type=accelerator.device.type,
        world=accelerator.num_processes,
    )
    if config.loader.workers == "auto":
        decisions.note("loader workers", workers, why)
    feeds = Feeds(
        pictures=pictures,
        labels=catalog.labels,
        paths=tuple(sample.path for sample in catalog.samples),
        rows=rows,
        train_transform=build_transform(augment, size, "random" if side > size else ""),
        seed=experiment.seed,
        workers=workers,
        sampling=config.loader.sampling,
        pin=config.loader.pin,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        attributes={name: catalog.values(name) for name in catalog.attributes},
        asker=asker,
    )
    context = Context(
        catalog.classes,
        catalog.counts("train").tolist(),
        model.head,
        model.tap_channels,
        experiment.seed,
        model,
        model.branches,
        catalog,
    )
    objective = Objective(_with_penalty(experiment, model), context)
    memory = cache_folder(experiment.data.cache) / "precision.json"
    job = Job(
        model=model,
        feeds=feeds,
        objective=objective,
        config=config,
        accelerator=accelerator,
        seed=experiment.seed,
        batch_size=config.batch_size if config.batch_size != "auto" else 0,
        folder=out,
        transforms=build_transforms(experiment.transforms, context.counts),
        feedbacks=tuple(map(FEEDBACKS.build, experiment.feedback)),
        observer=observer,
        decisions=decisions,
        memory=memory,
        keep=partial(_save, catalog=catalog, experiment=experiment),
        shared=SharedFeatures(shared, _identity(experiment, catalog, size)) if shared else None,
    )
    return decide_batch_size(job) if config.batch_size == "auto" else job


def _learner(experiment: Experiment, size: int, fit: str, device: torch.device, observer: Observer) -> Any:
    """What learns masks from a few (``data.masks.use: {learned: 10}``)."""
    return partial(
        with_learned_masks, config=experiment.model, size=size, fit=fit, device=device, tell=observer.progress
    )


def _identity(experiment: Experiment, catalog: Catalog, size: int) -> str:
    """What decides the pictures that reach the network: the files, and how they are read, split and augmented."""
    files = [catalog.file(row).stat() for row in range(len(catalog))]
    state = [(status.st_size, status.st_mtime_ns) for status in files]
    settings = [deciding(part) for part in (experiment.data, experiment.task, experiment.seed)]
    return f"{catalog.root} {catalog.hash} {state} {size} {settings}"


def _with_penalty(experiment: Experiment, model: Network) -> dict[str, Any]:
    """A head that brings a penalty gets its term, unless the objective already has one."""
    from foveate.objectives.classification import HeadPenalty

    terms = dict(experiment.objective)
    if (
        model.head
        and model.head.penalty() is not None
        and not any(term.kind == "head_penalty" for term in terms.values())
    ):
        terms["head_penalty"] = HeadPenalty.Config()
    return terms

"""The loop: one plain loop over Accelerate. Phases, epochs, steps; every position of it can be saved and resumed."""

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, NoReturn

import torch

from foveate.core.durations import about
from foveate.core.errors import TrainingError, few
from foveate.core.files import write_csv
from foveate.core.rng import key, seed_torch
from foveate.data.batch import Batch
from foveate.feedback import Moment
from foveate.models.freeze import apply_trainable, set_modes
from foveate.objectives import Progress
from foveate.training import checkpoint as checkpoints
from foveate.training import distributed
from foveate.training.checks import check_phases
from foveate.training.drawings import draw
from foveate.training.feedback_loop import FeedbackLoop
from foveate.training.interrupt import Interrupted, Signals, watch_signals
from foveate.training.kept_weights import KeptWeights
from foveate.training.optimizers import build_optimizer, set_learning_rates
from foveate.training.phase_plan import PhasePlan, phase_groups, plan_phase
from foveate.training.phases import PhaseConfig, better, higher_is_better, reached
from foveate.training.position import Position
from foveate.training.selection import rule_of_phase
from foveate.training.time_needed import time_needed
from foveate.training.training_job import EPOCHS, Job
from foveate.training.validation import validate


def fit(job: Job) -> list[dict[str, Any]]:
    """Train ``job.model`` in place through all phases and return the history, one dictionary an epoch.

    Raises:
        TrainingError: the loss is not finite (names the pictures of the batch), or a checkpoint cannot be written.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was written, unless there was nothing new to save.
    """
    trainer = _Trainer(job)
    try:
        with watch_signals() as signals:
            trainer.run(signals)
    finally:
        job.observer.close()
    return trainer.position.history


class _Trainer:
    def __init__(self, job: Job) -> None:
        self.job, self.model, self.config = job, job.model, job.config
        self.accelerator, self.device = job.accelerator, job.accelerator.device
        self.position = Position()
        self.kept = KeptWeights(job.model, job.config.ema)
        self.optimizer: torch.optim.Optimizer | None = None
        self.feedback = FeedbackLoop(job)
        self.first: list[checkpoints.Tensors] = []
        if any(feedback.restarts for feedback in job.feedbacks):
            self.first = [copy.deepcopy(dict(part.state_dict())) for part in (job.model, job.objective)]
        self._saved_at = time.monotonic()
        self._resumed_optimizer: checkpoints.Tensors = {}

    # -- the whole ---------------------------------------------------------------------------------------------------

    def run(self, signals: Signals) -> None:
        check_phases(self.job)
        accelerator, objective = self.accelerator, self.job.objective
        for part in (self.model, objective):
            distributed.share(accelerator, part.state_dict().values())
        objective.add_by(lambda values: distributed.total(accelerator, values))
        self._resume()
        if self.job.timed and self.accelerator.num_processes == 1:
            self.job.decisions.make("time needed", self._time_needed)
        while self.position.phase < len(self.config.phases):
            self._run_phase(self.config.phases[self.position.phase], signals)

    def _time_needed(self) -> tuple[str, str]:
        seconds = time_needed(self.job)
        return (
            f"about {about(seconds)}",
            "of training at most, from steps timed on this machine; measuring follows",
        )

    # -- one phase ---------------------------------------------------------------------------------------------------

    def _run_phase(self, phase: PhaseConfig, signals: Signals) -> None:
        position = self.position
        frozen = apply_trainable(self.model, phase.trainable)
        plan = plan_phase(self.job, phase)
        self.job.decisions.note(f"parameters: {phase.name}", *frozen.words(phase.trainable))
        self.job.decisions.note(f"epoch kept: {phase.name}", *rule_of_phase(phase.restore_best))
        self.model.to(memory_format=plan.step.precision.memory_format)  # type: ignore[call-overload]
        self.optimizer = build_optimizer(
            phase.optimizer, phase_groups(phase, self.model, self.job.objective), plan.lr
        )
        self.scaler = plan.step.precision.scaler(self.device, position.scaler)
        checkpoints.restore_optimizer(self.optimizer, self._resumed_optimizer)
        self._resumed_optimizer = {}
        self.kept.begin()
        steps = math.ceil(len(plan.train) / self.config.accumulate)
        self.job.observer.phase(phase.name, phase.epochs, len(plan.train))
        ended = False
        with signals.held():
            while position.phase_epoch < phase.epochs and not ended:
                self._run_epoch(phase, plan, steps, signals)
                ended = self._after_epoch(phase)
                if not ended and any(distributed.largest(self.accelerator, signals())):
                    self._stop(len(plan.train))
            self._end_phase(phase)
        signals.check()

    def _end_phase(self, phase: PhaseConfig) -> None:
        position = self.position
        if self.kept.end(phase.restore_best):
            self.job.observer.message(
                f"Weights of epoch {position.best_epoch} are kept ({phase.restore_best} {position.best_value:.4f})."
            )
        self.optimizer = None
        position.phase += 1
        position.phase_epoch = position.phase_step = position.batch = position.stale = 0
        self._save()

    # -- one epoch ---------------------------------------------------------------------------------------------------

    def _run_epoch(self, phase: PhaseConfig, plan: PhasePlan, steps_per_epoch: int, signals: Signals) -> None:
        position, accumulate = self.position, self.config.accumulate
        assert self.optimizer is not None
        total_steps = phase.epochs * steps_per_epoch
        plateau = self._plateau(phase)
        started = time.perf_counter()
        if not position.batch:
            position.sums = {}
            with self._interruptible(signals, len(plan.train)):
                moment = Moment(position.epoch, phase.name, position.phase_epoch, self.job.seed)
                again = self.feedback.between(moment)
            if again:
                self._start_again()
            position.feedback_seconds = time.perf_counter() - started
        # The network last: a term may hold a part of it, whose mode the phase decides.
        plan.step.objective.train()
        set_modes(self.model, phase.trainable, phase.freeze_bn)
        feed = self.feedback.feed(plan.train)
        batches = len(feed)
        for raw in feed.epoch(position.epoch, start=position.batch):
            # Everything random inside the step (dropout, stochastic depth) hangs on its number alone.
            seed_torch(
                key(self.job.seed, "step", position.step, position.batch, self.accelerator.process_index),
                self.device.type,
            )
            # A feedback may make an epoch longer or shorter; the schedule goes by the epochs all the same.
            step = position.batch * len(plan.train) // batches // accumulate
            step_in_phase = position.phase_epoch * steps_per_epoch + step
            factor = plateau * phase.schedule.factor(step_in_phase, steps_per_epoch, total_steps, plan.lr)
            set_learning_rates(self.optimizer, plan.lr, factor)
            self._forward_backward(raw, plan, self._progress(phase, step_in_phase / total_steps))
            position.batch += 1
            position.seconds += time.perf_counter() - started
            started = time.perf_counter()
            if position.batch % accumulate and position.batch < batches:
                continue
            self._update(phase)
            self.job.observer.step(position.batch, batches, len(raw))
            stop, spent = distributed.largest(self.accelerator, signals(), self._over_budget())
            if stop:
                self._stop(batches)
            if spent:
                break
            if time.monotonic() - self._saved_at > self.config.checkpoint_seconds:
                self._save()
        self._finish_epoch(phase, plan, started, signals)

    def _forward_backward(self, raw: Batch, plan: PhasePlan, progress: Progress) -> None:
        position = self.position
        done = plan.step.train(
            self.model, raw, progress, position.step, position.batch, through=plan.compiled
        )
        self.feedback.see(done)
        loss = done.weighed.total
        values = {name: float(value.detach()) for name, value in {**done.terms, "loss": loss}.items()}
        weights = {name: float(weight) for name, weight in done.weighed.weights.items()}
        if not math.isfinite(values["loss"]):
            raise TrainingError(self._not_finite(raw, values))
        # The last step of an epoch may give some processes a picture more than others.
        share = distributed.share_of(self.accelerator, len(raw))
        self.accelerator.backward(self.scaler.scale(loss * share / self.config.accumulate))
        if self.job.feeds.labelled:
            right = done.output.logits.detach().argmax(dim=1) == done.batch.labels
            values["accuracy"] = float(right.float().mean())
        if len(done.terms) > 1:
            values |= {f"weight_{name}": weight for name, weight in weights.items()}
            values |= {f"share_{name}": abs(weight * values[name]) for name, weight in weights.items()}
        for name, value in {**values, "pictures": 1.0}.items():
            position.sums[name] = position.sums.get(name, 0.0) + value * len(raw)

    def _update(self, phase: PhaseConfig) -> None:
        assert self.optimizer is not None
        distributed.share_gradients(
            self.accelerator, (*self.model.parameters(), *self.job.objective.parameters())
        )
        if self.config.clip:
            self.scaler.unscale_(self.optimizer)
            trainable = [p for p in self.model.parameters() if p.requires_grad]
            self.accelerator.clip_grad_norm_(trainable, self.config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.position.step += 1
        self.position.phase_step += 1
        self.kept.update(self.position.phase_step)

    def _finish_epoch(self, phase: PhaseConfig, plan: PhasePlan, started: float, signals: Signals) -> None:
        position = self.position
        # A copy: until the epoch is over the position may have to be saved.
        sums = distributed.summed(self.accelerator, position.sums)
        pictures = sums.pop("pictures")
        # Sums of weighted terms become shares of the epoch's weighted loss.
        columns = [name for name in sums if name.startswith("share_")]
        whole = sum(sums[name] for name in columns)
        sums.update({name: sums[name] / whole * pictures if whole else 0.0 for name in columns})
        train_seconds = position.seconds
        row: dict[str, Any] = {
            "epoch": position.epoch + 1,
            "phase": phase.name,
            "phase_epoch": position.phase_epoch + 1,
            **{f"train_{name}": value / pictures for name, value in sums.items()},
        }
        distributed.share(self.accelerator, self.model.buffers())  # batch statistics
        with self._interruptible(signals, len(self.feedback.feed(plan.train))):
            row |= self._validated(phase, plan)
        position.seconds += time.perf_counter() - started
        (position.seconds,) = distributed.largest(self.accelerator, position.seconds)
        previous = sum(r["seconds"] for r in position.history)
        assert self.optimizer is not None
        for part in ("head", "backbone"):
            rates = (group["lr"] for group in self.optimizer.param_groups if group["part"] == part)
            row[f"lr_{part}"] = max(rates, default=0.0)
        row["seconds"] = position.seconds - previous
        row["images_per_second"] = pictures / max(train_seconds - position.feedback_seconds - previous, 1e-9)
        if self.job.feedbacks:
            row["feedback_seconds"] = position.feedback_seconds
        position.history.append(row)
        position.epoch += 1
        position.phase_epoch += 1
        position.batch = 0
        position.sums = {}

    def _validated(self, phase: PhaseConfig, plan: PhasePlan) -> dict[str, float]:
        if plan.validation is None:
            return {}
        self.kept.model.eval()
        progress = self._progress(phase, (self.position.phase_epoch + 1) / phase.epochs)
        found = validate(
            plan.step, self.kept.model, plan.validation, progress, labelled=self.job.feeds.labelled
        )
        found = distributed.from_main(self.accelerator, found)
        return {f"val_{name}": value for name, value in found.items()}

    def _after_epoch(self, phase: PhaseConfig) -> bool:
        """Book-keeping after an epoch; whether the phase is over."""
        position, row = self.position, self.position.history[-1]
        self.job.observer.epoch(row)
        self._show()
        if phase.restore_best:
            self.kept.consider(phase.restore_best, row, position)
        ended = self._ended(phase, row)
        self._write_history()
        if not ended and time.monotonic() - self._saved_at > self.config.checkpoint_seconds:
            self._save()
        return ended

    def _show(self) -> None:
        """Drawings for trackers, and the network of this epoch, where they are due."""
        config, epoch = self.config, self.position.epoch
        if self.accelerator.is_main_process:
            if config.draw and not epoch % config.draw_every and self.job.feeds.asker is None:
                draw(self.job, self.kept.model, epoch)
            if config.keep_every and not epoch % config.keep_every and self.job.folder:
                self.job.keep(self.kept.model, self.job.folder / EPOCHS / f"{epoch:04d}")

    def _ended(self, phase: PhaseConfig, row: dict[str, Any]) -> bool:
        position, tell = self.position, self.job.observer.message
        if self._over_budget():
            tell(f"The time budget of {self.config.time_budget} minutes is spent.")
            position.phase = len(self.config.phases) - 1  # later phases are skipped
            return True
        if phase.until and reached(phase.until, row):
            tell(f"Phase '{phase.name}' ends: {phase.until.metric} {row[phase.until.metric]:.4f}.")
            return True
        if phase.early_stopping:
            metric = phase.early_stopping.metric
            past = [r[metric] for r in position.rows[:-1]]
            record = (max if higher_is_better(metric) else min)(past) if past else None
            position.stale = 0 if better(metric, row[metric], record) else position.stale + 1
            if position.stale >= phase.early_stopping.patience:
                tell(f"Phase '{phase.name}' ends: no better {metric} for {position.stale} epochs.")
                return True
        return False

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _start_again(self) -> None:
        """Network, objective, optimizer and averages as before the first step; what was best so far counts no more."""
        assert self.optimizer is not None
        for part, state in zip((self.model, self.job.objective), self.first, strict=True):
            part.load_state_dict(state)
        self.optimizer.state.clear()
        self.kept.begin(anew=True)
        position = self.position
        position.best_value = position.best_epoch = None
        position.phase_step = position.stale = 0

    def _progress(self, phase: PhaseConfig, share: float) -> Progress:
        epochs = [p.epochs for p in self.config.phases]
        before = sum(epochs[: self.position.phase])
        return Progress(self.position.epoch, share, (before + share * phase.epochs) / sum(epochs))

    def _plateau(self, phase: PhaseConfig) -> float:
        if phase.schedule.watched is None:
            return 1.0
        return phase.schedule.replay([row[phase.schedule.watched] for row in self.position.rows])

    def _over_budget(self) -> bool:
        return self.config.time_budget is not None and self.position.seconds > 60 * self.config.time_budget

    @contextmanager
    def _interruptible(self, signals: Signals, batches: int) -> Iterator[None]:
        """Inside the block, which must leave the position alone, a signal is heeded at once."""
        try:
            with signals.released():
                yield
        except KeyboardInterrupt:
            self._stop(batches)

    def _stop(self, batches: int) -> NoReturn:
        self._save()
        position = self.position
        raise Interrupted(
            f" in epoch {position.epoch + 1} after batch {position.batch} of {batches}; the position is saved"
        ) from None

    def _not_finite(self, raw: Batch, values: dict[str, float]) -> str:
        files = [self.job.feeds.paths[i] for i in raw.index.tolist()]
        figures = ", ".join(f"{name} {value:g}" for name, value in values.items())
        return (
            f"The loss is not finite in epoch {self.position.epoch + 1}, batch {self.position.batch + 1} ({figures}); "
            f"pictures: {few(files, 8)}. Lower the learning rate, or set training.clip=1.0 or training.precision=fp32."
        )

    def _write_history(self) -> None:
        if self.job.folder and self.accelerator.is_main_process:
            columns = list(dict.fromkeys(name for row in self.position.history for name in row))
            write_csv(self.job.folder / "history.csv", columns, self.position.history)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        if self.job.folder is None or not self.accelerator.is_main_process:
            return
        tensors = checkpoints.prefixed("model", self.model.state_dict())
        tensors |= self.kept.state()
        if self.optimizer is not None:
            tensors |= checkpoints.prefixed("optimizer", checkpoints.flatten_optimizer(self.optimizer))
        tensors |= checkpoints.prefixed("objective", self.job.objective.state_dict())
        tensors |= checkpoints.prefixed("feedback", self.feedback.state())
        self.position.scaler = self.scaler.state_dict() if self.optimizer is not None else {}
        checkpoints.save_checkpoint(self.job.folder / "checkpoint", tensors, asdict(self.position))
        self._saved_at = time.monotonic()

    def _resume(self) -> None:
        folder = self.job.folder / "checkpoint" if self.job.folder else None
        found = checkpoints.load_checkpoint(folder) if folder else None
        if folder is None or found is None:
            return
        tensors, state = found
        try:
            self.position = Position(**state)
            self.model.load_state_dict(checkpoints.without_prefix("model", tensors))
            self.job.objective.load_state_dict(checkpoints.without_prefix("objective", tensors))
            self.feedback.restore(checkpoints.without_prefix("feedback", tensors))
        except (TypeError, RuntimeError, LookupError) as error:
            raise checkpoints.damaged(folder, error) from error
        self.kept.restore(tensors)
        self._resumed_optimizer = checkpoints.without_prefix("optimizer", tensors)
        self._write_history()
        self.job.observer.message(
            f"Going on after epoch {self.position.epoch} and {self.position.batch} batches "
            f"(phase {min(self.position.phase + 1, len(self.config.phases))})."
        )

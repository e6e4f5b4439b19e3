"""The feedbacks of a job at work: they see every step, and what they change is in the checkpoint."""

from dataclasses import replace

import numpy as np
import torch

from foveate.data.epoch_change import Change, combine
from foveate.feedback import FEEDBACKS, Moment, Seen, TrainingPictures
from foveate.models.modes import untouched
from foveate.training.changed_pictures import keep, sheet
from foveate.training.checkpoint import Tensors, prefixed, without_prefix
from foveate.training.distributed import everyones, from_main
from foveate.training.loaders import Feed
from foveate.training.precision import Precision
from foveate.training.step import Outcome
from foveate.training.training_job import Job


class FeedbackLoop:
    """Between the loop and the job's feedbacks; does nothing where there are none."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._changes: list[Change] = [Change() for _ in job.feedbacks]
        self._shown: tuple[Feed, Feed] | None = None
        kinds = {entry: kind.replace("_", " ") for kind, entry in FEEDBACKS.items()}
        self._names = [
            f"feedback {number}: {kinds.get(type(feedback), type(feedback).__name__)}"
            for number, feedback in enumerate(job.feedbacks, start=1)
        ]
        for name in self._names:
            job.decisions.make(name, lambda: ("nothing so far", "it has not asked for a change yet"))

    def see(self, done: Outcome) -> None:
        """Tell the feedbacks of a training step."""
        if not self.job.feedbacks:
            return
        mine = (
            done.batch.index.cpu(), done.batch.targets.detach().cpu(), done.output.logits.detach().float().cpu()
        )  # fmt: skip
        parts = everyones(self.job.accelerator, mine)
        seen = Seen(*(torch.cat(values) for values in zip(*parts, strict=True)))
        for feedback in self.job.feedbacks if self.job.accelerator.is_main_process else ():
            feedback.see(seen)

    def between(self, moment: Moment) -> bool:
        """Ask the feedbacks what comes next; the main process computes it. Whether training is to start again.

        Cut off, it leaves what they remember as it was, so that it can be asked again.
        """
        if not self.job.feedbacks:
            return False
        remembered = [feedback.state() for feedback in self.job.feedbacks]
        try:
            asked = self._asked(moment)
        except BaseException:
            for feedback, state in zip(self.job.feedbacks, remembered, strict=True):
                feedback.restore(state)
            raise
        for number, change in enumerate(asked):
            if change is not None:
                self._tell(number, change, moment.epoch)
                self._changes[number], self._shown = change, None
                said = change.words(self.job.feeds.rows["train"])
                self.job.decisions.note(self._names[number], said, f"from epoch {moment.epoch + 1} on")
        return any(change is not None and change.restart for change in asked)

    def _asked(self, moment: Moment) -> list[Change | None]:
        accelerator, network, pictures = self.job.accelerator, self.job.model, self._pictures()
        changes: list[Change | None] = []
        for feedback, so_far in zip(self.job.feedbacks, self._changes, strict=True):
            change = None
            if accelerator.is_main_process:
                with untouched(network):
                    change = feedback.between(replace(moment, change=so_far), network, pictures)
            changes.append(from_main(accelerator, change))
        return changes

    def _tell(self, number: int, change: Change, epoch: int) -> None:
        """Show what pictures are new."""
        before = self._changes[number].pictures
        new = {row: image for row, image in change.pictures.items() if image is not before.get(row)}
        if not new or not self.job.accelerator.is_main_process:
            return
        name, picture = self._names[number], sheet(new, self.job.feeds.pictures)
        if self.job.folder:
            keep(self.job.folder, name, epoch + 1, picture)
        self.job.observer.picture(name, picture, epoch)

    def feed(self, ordinary: Feed) -> Feed:
        """What the coming epoch is fed with.

        Raises:
            ConfigError: changes that contradict each other or do not fit the pictures.
        """
        if not self._changes:
            return ordinary
        if self._shown is None or self._shown[0] is not ordinary:
            # Made once for each change: a new feed starts its workers anew.
            change = combine(self._changes)
            self._shown = (ordinary, ordinary.changed(change) if change else ordinary)
        return self._shown[1]

    def state(self) -> Tensors:
        """For the checkpoint."""
        found: Tensors = {}
        for number, (feedback, change) in enumerate(zip(self.job.feedbacks, self._changes, strict=True)):
            found |= prefixed(f"{number}.own", feedback.state()) | prefixed(
                f"{number}.change", change.tensors()
            )
        return found

    def restore(self, state: Tensors) -> None:
        """Put back what ``state`` gave."""
        for number, feedback in enumerate(self.job.feedbacks):
            feedback.restore(without_prefix(f"{number}.own", state))
            self._changes[number] = Change.from_tensors(without_prefix(f"{number}.change", state))

    def _pictures(self) -> TrainingPictures:
        job, feeds = self.job, self.job.feeds
        precision = Precision("fp32_channels_last")
        return TrainingPictures(
            feeds.pictures, feeds.rows["train"], feeds.labels, feeds.paths, job.model.card.classes or 0,
            lambda rows: (job.prepare(raw, precision) for raw in feeds.plain(rows, job.batch_size)), feeds.attributes,
            feeds.rows.get("val", np.zeros(0, np.int64)), job.folder / "feedback" if job.folder else None,
        )  # fmt: skip

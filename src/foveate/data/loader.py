"""Catalog rows -> batches, the same ones for any number of workers.

The order of an epoch is keyed by (seed, "order", epoch), the augmentation of a picture by (seed, "augment",
epoch or view, row). Nothing depends on what was drawn before, so any epoch, or any batch of it, can be made
at any time by any process.
"""

import copy
import sys
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from foveate.core.config import Config, Mark
from foveate.core.errors import ConfigError, DataError, FoveateError
from foveate.core.rng import numpy_generator
from foveate.core.threads import one_torch_thread, usable_cores
from foveate.data.batch import Batch
from foveate.data.cache import Pictures
from foveate.data.epoch_change import Change, ChangedPictures
from foveate.data.transforms import Transform

MOST_WORKERS = 16
"""Worker processes that are allowed on any machine; beyond, at most four for each core."""
PREFETCH = 2
"""Batches made ahead, by the background thread or by each worker."""

Sampling = Literal["natural", "balanced"]
Job = tuple[int, np.ndarray, np.ndarray]
"""(epoch, rows, how often each row was drawn before in this epoch)."""


class LoaderConfig(Config):
    """How batches are made."""

    workers: Annotated[Annotated[int, Field(ge=0, le=256)] | Literal["auto"], Mark.DECIDES_NOTHING] = "auto"
    """Processes that make batches; 0 = a thread of this process; auto = see ``resolve_workers``."""
    pin: Annotated[bool, Mark.DECIDES_NOTHING] = True
    """Put batches into page-locked memory when there is a CUDA device, for faster copies."""
    sampling: Sampling = Field(default="natural")
    """natural: every picture once an epoch; balanced: every class equally often, epochs of the same
    length."""


def resolve_workers(
    config: LoaderConfig, *, cached: bool, device_type: str, world: int = 1
) -> tuple[int, str]:
    """The number of worker processes, and the reason for it in words."""
    cores = usable_cores()
    if config.workers != "auto":
        most = max(MOST_WORKERS, 4 * cores)
        if config.workers > most:
            raise ConfigError(
                f"training.loader.workers is {config.workers}, but this machine has {cores} cores: use at most {most}, "
                "or auto."
            )
        more = f", more than the {cores} cores" if config.workers > cores else ""
        return config.workers, f"as set{more}"
    if cached and device_type == "cpu":
        return 0, "the pictures are cached and the network needs the cores, so a thread beside it is enough"
    share = max(1, cores // world)
    if share <= 2:
        return 0, f"there are {share} cores for each process, and a thread costs less than workers"
    what = "the cache gives bytes, augmentation needs cores" if cached else "every epoch decodes the pictures"
    count = min(8, share - 1)
    return count, f"{what}, and {count} of {share} cores leave one for the training loop"


class Loader:
    """Batches of uint8 pictures, masks, labels and rows. Close it (or leave its ``with`` block) to end its workers.

    Args:
        pictures: the pictures of the catalog.
        labels: (N,) int64 labels by catalog row, -1 = unlabelled.
        rows: (n,) catalog rows that take part.
        transform: augmentation or resizing.
        batch_size: pictures a batch on this rank.
        seed: random seed of order and augmentation.
        shuffle: draw a new order each epoch; otherwise in the order of ``rows``.
        workers: processes; 0 uses one background thread.
        views: augment by epoch % views, so that each picture has only this many augmented views.
        rank, world: this process and their number; ranks get disjoint pictures and equally many batches.
        sampling: "natural" or "balanced"; balanced needs ``shuffle`` and labels.
        pin: put batches into page-locked memory (needs CUDA).

    Raises:
        ConfigError: settings that exclude each other, or fewer pictures than ranks.
    """

    def __init__(
        self,
        pictures: Pictures,
        labels: np.ndarray,
        rows: Sequence[int] | np.ndarray,
        transform: Transform,
        batch_size: int,
        seed: int,
        *,
        shuffle: bool,
        workers: int = 0,
        views: int | None = None,
        rank: int = 0,
        world: int = 1,
        sampling: Sampling = "natural",
        pin: bool = False,
    ) -> None:
        self.rows = np.asarray(rows, dtype=np.int64)
        self.labels = np.asarray(labels, dtype=np.int64)
        if not len(self.rows):
            raise ConfigError("A loader needs at least one picture; this split is empty.")
        if batch_size < 1 or not 0 <= rank < world or (views is not None and views < 1):
            raise ConfigError(
                f"Impossible loader: batch {batch_size}, rank {rank} of {world}, views {views}."
            )
        if len(self.rows) < world:
            raise ConfigError(f"{len(self.rows)} pictures cannot be shared by {world} processes; use fewer.")
        if sampling == "balanced" and (not shuffle or (self.labels[self.rows] < 0).any()):
            raise ConfigError("Balanced sampling needs shuffling and labels for all pictures.")
        self.batch_size, self.seed, self.shuffle, self.workers = batch_size, seed, shuffle, workers
        self.rank, self.world, self.sampling = rank, world, sampling
        self.pin = pin and torch.cuda.is_available()
        self.maker = BatchMaker(pictures, self.labels, transform, seed, views)
        self._weights: np.ndarray | None = None
        self._fixed: np.ndarray | None = None
        self._jobs: list[Job] = []
        self._pool: torch.utils.data.DataLoader | None = None
        if not len(self):
            raise ConfigError(
                f"{len(self.rows)} pictures do not fill one batch of {batch_size} on {world} processes; "
                "use a smaller batch."
            )

    def __len__(self) -> int:
        """Batches an epoch, the same on every rank."""
        count = len(self.rows) if self._fixed is None else len(self._fixed)
        full, rest = divmod(count, self.batch_size * self.world)
        # In training a rest of one picture a rank joins the batch before: a batch norm that sees a single 1x1 map
        # has no variance to learn from, and torch refuses it.
        least = 2 * self.world if self.shuffle and full else self.world
        return full + (rest >= least)

    def changed(self, change: Change) -> "Loader":
        """A loader of the same pictures that shows them as ``change`` says.

        Raises:
            ConfigError: see ``Change.check``, or fewer rows than processes.
        """
        maker = self.maker
        change.check(self.rows, maker.pictures.size)
        other = copy.copy(self)
        other._pool, other._jobs = None, []
        other._fixed, other._weights = change.order, None
        pictures = ChangedPictures(maker.pictures, change)
        if change.beside:
            other.rows = np.concatenate([self.rows, np.arange(len(maker.pictures), len(pictures))])
        other.labels = self.labels[pictures.origin]
        if change.weights is not None:
            other._weights = change.weights[pictures.origin][other.rows]
        other.maker = replace(maker, pictures=pictures, labels=other.labels, origin=pictures.origin)
        if not len(other):
            raise ConfigError(
                f"A feedback's order of {len(other.order(0)[0])} rows cannot be shared by {self.world} processes."
            )
        return other

    def order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """All ranks' rows in the order of ``epoch``, (n,), and how often each was drawn before, (n,)."""
        if self._fixed is not None:
            return self._fixed, _drawn_before(self._fixed)
        if not self.shuffle:
            return self.rows, np.zeros_like(self.rows)
        rng = numpy_generator(self.seed, "order", epoch)
        if self._weights is not None:
            drawn = rng.choice(self.rows, len(self.rows), p=self._weights / self._weights.sum())
            return drawn, _drawn_before(drawn)
        if self.sampling == "balanced":
            return _balanced(self.rows, self.labels[self.rows], rng)
        return rng.permutation(self.rows), np.zeros_like(self.rows)

    def batches(self, epoch: int) -> list[Job]:
        """What this rank's batches of ``epoch`` are made of.

        Each step takes the next batch_size * world rows and deals them to the ranks. The rows of the last,
        smaller step are dealt as evenly as can be; when there are too few (see ``__len__``), they join the
        step before.
        """
        rows, repeats = self.order(epoch)
        step = self.batch_size * self.world
        parts = np.split(np.arange(len(rows)), range(step, step * len(self), step))
        shares = (part[self.rank :: self.world] for part in parts)
        return [(epoch, rows[mine], repeats[mine]) for mine in shares]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of ``epoch``, from batch ``start`` on.

        Raises:
            DataError: a picture cannot be read or augmented; the message names its file.
        """
        jobs = self.batches(epoch)[start:]
        return self._by_workers(jobs) if self.workers else self._by_thread(jobs)

    def _pinned(self, batch: Batch) -> Batch:
        names = ("images", "targets", "masks", "has_mask") if self.pin else ()
        return batch.replace(**{name: getattr(batch, name).pin_memory() for name in names})

    def _by_thread(self, jobs: list[Job]) -> Iterator[Batch]:
        threads = torch.get_num_threads()
        pool = ThreadPoolExecutor(1, initializer=one_torch_thread)

        def submit(job: Job) -> Future[Batch]:
            return pool.submit(lambda: self._pinned(self.maker(job)))

        try:
            pool.submit(int).result()  # after the initializer
            torch.set_num_threads(threads)
            waiting, following = deque(map(submit, jobs[:PREFETCH])), iter(jobs[PREFETCH:])
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(map(submit, islice(following, 1)))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)

    def _by_workers(self, jobs: list[Job]) -> Iterator[Batch]:
        self._jobs[:] = jobs  # what the workers' sampler lists
        with warnings.catch_warnings():
            # The number was chosen; ``resolve_workers`` has said when it exceeds the cores.
            warnings.filterwarnings("ignore", message="This DataLoader will create")
            if self._pool is None:  # not ``or``: an epoch of no batches makes it false
                self._pool = torch.utils.data.DataLoader(
                    _Jobs(self.maker),
                    batch_size=None,  # one item is one whole batch
                    sampler=self._jobs,
                    num_workers=self.workers,
                    prefetch_factor=PREFETCH,
                    persistent_workers=True,
                    # Trap: without it every epoch takes a number from the global generator, and a run with workers
                    # would draw other dropout masks than one without.
                    generator=torch.Generator(),
                    # fork where it is customary: workers start at once and a user's script needs no guard around its
                    # main part. They only read files and run single-threaded kernels.
                    multiprocessing_context="fork" if sys.platform.startswith("linux") else "spawn",
                )
            made = iter(self._pool)
        for item in made:
            if isinstance(item, FoveateError):
                raise item
            yield self._pinned(Batch(*item))

    def close(self) -> None:
        """End the worker processes."""
        self._pool = None

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def in_order(
    pictures: Pictures, labels: np.ndarray, rows: np.ndarray, size: int, batch_size: int, workers: int = 0
) -> Loader:
    """What evaluation sees: ``rows`` in this order, brought to ``size`` pixels and not augmented."""
    return Loader(pictures, labels, rows, Transform((), size), batch_size, 0, shuffle=False, workers=workers)


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batch of a job. Holds no changing state, so any process may do it."""

    pictures: Pictures
    labels: np.ndarray
    transform: Transform
    seed: int
    views: int | None
    origin: np.ndarray | None = None
    """(M,) the catalog row of each row, where pictures are shown beside others."""

    def __call__(self, job: Job) -> Batch:
        epoch, rows, repeats = job
        if not self.transform.random and self.transform.size == self.pictures.size:
            images, masks, has_mask = self.pictures.read_many(rows)
        else:
            images, masks, has_mask = self._transformed(epoch, rows, repeats)
        index = torch.from_numpy(rows.copy() if self.origin is None else self.origin[rows])
        return Batch(images, torch.from_numpy(self.labels[rows]), masks, has_mask, index)

    def _transformed(
        self, epoch: int, rows: np.ndarray, repeats: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        view = epoch if self.views is None else epoch % self.views
        size = self.transform.size
        images = torch.empty((len(rows), 3, size, size), dtype=torch.uint8)
        masks = torch.zeros((len(rows), 1, size, size), dtype=torch.uint8)
        has_mask = torch.zeros(len(rows), dtype=torch.bool)
        for k, (row, repeat) in enumerate(zip(rows.tolist(), repeats.tolist(), strict=True)):
            image, mask, has_mask[k] = self.pictures.read(row)
            key = (self.seed, "augment", view, row, *([repeat] if repeat else []))
            try:
                image, moved = self.transform(image, mask if has_mask[k] else None, *key)
            except RuntimeError as error:
                raise DataError(f"{self.pictures.name(row)} cannot be augmented: {error}") from error
            images[k] = image
            if moved is not None:
                masks[k] = moved
        return images, masks, has_mask


class _Jobs(torch.utils.data.Dataset):
    """For DataLoader: item = job. Errors of ours travel as values: re-raised by torch they lose their
    sentence."""

    def __init__(self, maker: BatchMaker) -> None:
        self.maker = maker

    def __getitem__(self, job: Job) -> Any:
        try:
            batch = self.maker(job)
        except FoveateError as error:
            return error
        return batch.images, batch.targets, batch.masks, batch.has_mask, batch.index


def _drawn_before(rows: np.ndarray) -> np.ndarray:
    """(n,) how often the row at each place came before it."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.searchsorted(ordered, ordered)
    before = np.empty_like(order)
    before[order] = np.arange(len(rows)) - starts
    return before


def _balanced(
    rows: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) rows with every class equally often (within one), (n,) how often each was drawn before.

    A class's pictures are dealt in shuffled rounds, so none comes again before all have come.
    """
    classes = rng.permutation(np.unique(labels))
    chosen: list[np.ndarray] = []
    repeats: list[np.ndarray] = []
    for k, label in enumerate(classes):
        members = rows[labels == label]
        count = len(rows) // len(classes) + (k < len(rows) % len(classes))
        rounds = -(-count // len(members))
        chosen.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:count])
        repeats.append(np.repeat(np.arange(rounds), len(members))[:count])
    order = rng.permutation(len(rows))
    return np.concatenate(chosen)[order], np.concatenate(repeats)[order]

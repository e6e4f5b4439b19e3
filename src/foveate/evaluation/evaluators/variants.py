"""Tests on variants of pictures: what they show is asked in one pass, beside the picture as it is."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foveate.augmentation.background_swap import compose, without_object
from foveate.data.batch import Batch
from foveate.data.catalog import Catalog
from foveate.evaluation.attributes import accuracy_of
from foveate.evaluation.evaluators.evaluator import Evaluator
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.subject import Subject, judged_split

SEED = 0
"""Of every draw; never the experiment's, so that runs with different seeds are tested alike."""
ORIGINAL = "original"
INTERVAL = ("accuracy", "accuracy_low", "accuracy_high")
_CENTRE = 127.5
_TIE = 1e-6


class VariantTest(Evaluator):
    """Base of tests that show the object elsewhere: accuracy over all variants of a picture, and how often they all get
    the answer that the picture itself gets.

    A picture whose mask is empty at the network's size is not tested. What a variant shows depends on the picture's
    path and on nothing of the run, so all runs are asked about the same bytes. ``variants`` is all that a new one
    writes.
    """

    def variants(self, image: torch.Tensor, mask: torch.Tensor, path: str) -> dict[str, torch.Tensor]:
        """{name: (3, H, W) uint8} of a picture (3, H, W) uint8 and its mask (1, H, W) uint8, 255 = object."""
        raise NotImplementedError

    def part(self, name: str) -> str:
        """Under which name a variant's answers are counted."""
        return name

    def about(self) -> dict[str, Any]:
        """What else is told, known when everything was shown."""
        return {}

    def rows(self) -> np.ndarray:
        """Catalog rows of the labelled pictures that are tested."""
        return masked_rows(self.subject.catalog)

    def run(self, table: PredictionTable, folder: Path | None) -> Iterator[tuple[str, Any]]:
        """``accuracy`` of the answers to all variants, with its interval over the pictures (their groups, where there
        are any); ``consistent``, the share of pictures whose answer is the same in every variant and unchanged, right
        or wrong; ``original``; ``variants``: accuracy of each; ``n`` pictures."""
        kind, samples, rows = self.config.kind, self.subject.catalog.samples, self.rows()
        if not len(rows):
            return

        def shown() -> Iterator[tuple[Batch, dict[int, dict[str, torch.Tensor]]]]:
            what = f"testing {kind.replace('_', ' ')}"
            for batch in self.subject.batches(rows, what, side=self.subject.side):
                yield (
                    batch,
                    {
                        k: {ORIGINAL: batch.images[k]}
                        | self.variants(batch.images[k], batch.masks[k], samples[int(batch.index[k])].path)
                        for k in visible(batch)
                    },
                )

        index, names, logs = ask(self.subject, shown())
        if not len(index):
            return
        answers, plain = logs.argmax(axis=1), names == ORIGINAL
        labels = self.subject.catalog.labels[index]
        hits, parts = answers == labels, np.array([self.part(name) for name in names])

        def accuracy(where: np.ndarray, right: np.ndarray = hits) -> dict[str, Any]:
            """Answers to one picture are no independent ones."""
            own = [samples[row] for row in index[where]]
            several = len(own) > len(set(index[where].tolist()))
            return accuracy_of(right[where], [s.group or (f"path:{s.path}" if several else "") for s in own])

        first = dict(zip(index[plain].tolist(), answers[plain].tolist(), strict=True))
        stays = answers == [first[row] for row in index.tolist()]
        consistent = accuracy(plain, ~np.isin(index, index[~stays]))
        yield (
            f"{judged_split(self.subject.catalog)}.{kind}",
            {
                **accuracy(~plain),
                "n": len(first),
                "answers": int((~plain).sum()),
                **{name.replace("accuracy", "consistent"): consistent[name] for name in INTERVAL},
                "chance_majority": float(np.bincount(labels[plain]).max() / len(first)),
                "original": accuracy(plain),
                "variants": {
                    part: accuracy(~plain & (parts == part)) for part in dict.fromkeys(parts[~plain].tolist())
                },
                **self.about(),
            },
        )


class OtherBackgrounds(VariantTest):
    """Base of tests that show the object before other backgrounds."""

    def variants(self, image: torch.Tensor, mask: torch.Tensor, path: str) -> dict[str, torch.Tensor]:
        pixels, alpha = centred(image), mask.double() / 255
        behind = self.behind(path, image.shape[-1])
        return {name: as_bytes(compose(pixels, centred(other), alpha)) for name, other in behind.items()}

    def behind(self, path: str, side: int) -> dict[str, torch.Tensor]:
        """{name: what comes behind the object, uint8 (3, side, side) or (3, 1, 1)}."""
        raise NotImplementedError


def masked_rows(catalog: Catalog) -> np.ndarray:
    """(n,) int64: labelled pictures that a network is judged on and that have a mask."""
    judged = catalog.indices(judged_split(catalog))
    return np.array([row for row in judged if catalog.samples[row].mask], dtype=np.int64)


def visible(batch: Batch) -> list[int]:
    """Places in the batch where a mask shows anything."""
    found: list[int] = batch.masks.flatten(1).any(dim=1).nonzero()[:, 0].tolist()
    return found


def ask(
    subject: Subject, shown: Iterable[tuple[Batch, dict[int, dict[str, torch.Tensor]]]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the network answers to changed pictures.

    Args:
        shown: a batch, and {place in it: {name: (3, H, W) uint8}}.

    Returns:
        Of m answers: catalog row (m,), name of the change (m,), log-probabilities (m, C).
    """
    names: list[str] = []

    def feed() -> Iterator[Batch]:
        for batch, changed in shown:
            alike: dict[str, list[tuple[int, torch.Tensor]]] = {}
            for k, pictures in changed.items():
                for name, picture in pictures.items():
                    alike.setdefault(name, []).append((k, picture))
            for name, found in alike.items():
                names.extend([name] * len(found))
                places = [k for k, _ in found]
                yield Batch(
                    torch.stack([picture for _, picture in found]), batch.targets[places], batch.masks[places],
                    batch.has_mask[places], batch.index[places],
                )  # fmt: skip

    index, logs = subject.predict(feed())
    return index, np.array(names, dtype=np.str_), logs


def centred(image: torch.Tensor) -> torch.Tensor:
    """Bytes as float64 around 0. One picture at a time and in float64: neither batch nor threads may change a byte."""
    return image.double() - _CENTRE


def as_bytes(pixels: torch.Tensor) -> torch.Tensor:
    """``centred`` undone."""
    # Ties are common (means of two bytes) and would be decided by the last bit; the shift decides them upwards.
    return (pixels + _CENTRE + 0.5 + _TIE).floor().clamp(0, 255).to(torch.uint8)


def painted_out(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A picture without its object, ``centred``."""
    return without_object(centred(image)[None], mask[None].float())[0]

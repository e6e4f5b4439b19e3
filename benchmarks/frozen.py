"""The head phase: stored features beside running the frozen backbone in every epoch (the same code, not storing)."""

import tempfile
from pathlib import Path
from statistics import median
from unittest.mock import patch

from benchmarks.jobs import Rounds, build_job
from benchmarks.measure import Row, compare
from benchmarks.photos import Photos
from foveate.training import Decisions, fit

CASES = (("mobilenetv3_small_100", 160, 256), ("resnet18", 160, 128))
"""(network, side in pixels, pictures)."""


def run(photos: Photos, repeats: int, quick: bool = False) -> list[Row]:
    """Seconds an epoch; the note says after how many epochs storing has paid."""
    return [
        _head_phase(photos, network, size, 96 if quick else count, repeats, views)
        for network, size, count in (CASES[:1] if quick else CASES)
        for views in (1, 8)
    ]


def _head_phase(photos: Photos, network: str, size: int, count: int, repeats: int, views: int) -> Row:
    count = min(count, len(photos.files))
    preset = "none" if views == 1 else "standard"
    phase = {"name": "head", "trainable": "head", "views": views}
    decisions = Decisions()
    stored: list[float] = []
    again: list[float] = []
    extraction: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:

        def epochs(number: int) -> Rounds:
            job = build_job(
                photos, count, network, size, {**phase, "epochs": number},
                cache=Path(scratch), preset=preset, observer=(rounds := Rounds()), decisions=decisions,
            )  # fmt: skip
            rounds.start()
            fit(job)
            return rounds

        for turn in range(min(repeats, 3) + 1):
            first = epochs(10)
            with patch("foveate.training.phase_plan.FEATURE_LIMIT", 0):
                second = epochs(2)
            if turn:
                stored.append(median(first.seconds["foveate"][1:]))
                extraction.append(first.planning)
                again.append(second.seconds["foveate"][1])
    paid = median(extraction) / (median(again) - median(stored))
    augmented = f"{views} stored views" if views > 1 else "no augmentation"
    note = (
        f"beside running the backbone in every epoch; storing takes {median(extraction):.2f} s once and has paid "
        f"after {paid:.1f} epochs; {count} pictures"
    )
    return compare(
        "head phase", f"{network}, {size} px, {augmented}", stored, again, unit="s an epoch", note=note
    )

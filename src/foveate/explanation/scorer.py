"""Scorer: the score of one class over very many changed pictures, as cheaply as equal results allow."""

import time
from typing import Literal

import torch
from torch import nn

from foveate.explanation.fused import fused_copy
from foveate.explanation.probe import LOW, Probe

EQUAL = 1e-4
"""Largest difference of logits, as a share of the largest logit, at which a folded network counts as the same."""
TOLERANCE = 0.02
"""A low precision is taken where its root mean square error is at most this share of the scores' standard deviation."""
GAIN = 0.9
"""... and where it takes at most this share of the time."""
TRIAL = 16
"""Pictures on which precisions are compared: the comparison must not cost what it may save."""
WORTH = 256
"""Passes from which on a folded copy pays."""

Score = Literal["logit", "probability"]


class Scorer:
    """S(x) for the class of each picture, without gradients.

    The first pictures are scored by the network itself and by what might replace it: a copy with its batch norms folded
    (equal to rounding), and with precision "auto" also half precisions, which must be faster here and stay within
    ``TOLERANCE``. Precision "float32" gives the same bits at every call; "auto" depends on the machine.
    """

    def __init__(self, probe: Probe, score: Score = "logit", passes: int = 0) -> None:
        """``passes``: how many pictures will be scored, roughly."""
        self.probe, self.score, self.passes = probe, score, passes
        self.network: nn.Module = probe.model
        self.precision = LOW.get(probe.precision)
        self._settled = False
        self._buffer: torch.Tensor | None = None

    def __call__(self, pictures: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(n, 3, H, W), n at most ``probe.chunk``, and (n,) classes -> (n,) float32."""
        with torch.no_grad():
            if self._settled or len(pictures) < 2:
                return self._scores(self.network, pictures, targets, self.precision)
            self._settled = True
            return self._settle(pictures, targets)

    def buffer(self, like: torch.Tensor) -> torch.Tensor:
        """(chunk, 3, H, W) to write changed pictures into; fresh memory costs more than the arithmetic."""
        if self._buffer is None or self._buffer.shape[1:] != like.shape[1:]:
            self._buffer = torch.empty(
                (self.probe.chunk, *like.shape[1:]),
                dtype=like.dtype,
                device=like.device,
                memory_format=self.probe.memory_format,
            )
        return self._buffer

    def _scores(
        self, network: nn.Module, pictures: torch.Tensor, targets: torch.Tensor, low: torch.dtype | None
    ) -> torch.Tensor:
        with torch.autocast(self.probe.device.type, low, enabled=low is not None):
            logits = self.probe.read(network(pictures))
        if self.score == "probability":
            logits = logits.softmax(dim=1)
        return logits.gather(1, targets[:, None])[:, 0]

    def _settle(self, pictures: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        exact = self._scores(self.network, pictures, targets, self.precision)
        if self.passes < WORTH:
            return exact
        if self.precision is None:
            self._fold(pictures)
        if self.probe.precision == "auto":
            self._try_low(pictures[:TRIAL], targets[:TRIAL], exact[:TRIAL])
        return exact

    def _fold(self, pictures: torch.Tensor) -> None:
        twin = fused_copy(self.network, pictures[:1])
        if twin is None:
            return
        few = pictures[:2]
        own = self.probe.read(self.network(few))
        if (self.probe.read(twin(few)) - own).abs().max() <= EQUAL * own.abs().max():
            self.network = twin

    def _try_low(self, pictures: torch.Tensor, targets: torch.Tensor, exact: torch.Tensor) -> None:
        _, best = self._timed(pictures, targets, None)
        best *= GAIN
        for low in (torch.float16, torch.bfloat16):
            try:
                scores, seconds = self._timed(pictures, targets, low)
            except RuntimeError:  # this processor has no kernel for the type
                continue
            error = (scores - exact).square().mean().sqrt()
            if seconds < best and error <= TOLERANCE * exact.std():  # not a number: no
                self.precision, best = low, seconds

    def _timed(
        self, pictures: torch.Tensor, targets: torch.Tensor, low: torch.dtype | None
    ) -> tuple[torch.Tensor, float]:
        seconds = []
        for _ in range(2):
            started = time.perf_counter()
            scores = self._scores(self.network, pictures, targets, low).cpu()
            seconds.append(time.perf_counter() - started)
        return scores.to(pictures.device), min(seconds)

"""Scorer: the score of one class over very many changed pictures, as cheaply as the tolerance allows."""

from typing import Literal

import torch

from foveate.explanation.probe import Probe

TOLERANCE = 0.02
"""bfloat16 is taken where its error (root mean square) is at most this share of the scores' own standard deviation."""
TRIAL = 16
"""Pictures on which that is measured."""

Score = Literal["logit", "probability"]


class Scorer:
    """S(x) for the class of each picture, without gradients.

    With precision "auto" the first pictures are scored twice, in float32 and in bfloat16; the cheaper one is kept where
    the processor computes it natively and the difference is within ``TOLERANCE``. What is measured depends on the
    pictures, not on the clock: the same call gives the same map.
    """

    def __init__(self, probe: Probe, score: Score = "logit") -> None:
        self.probe, self.score = probe, score
        self.low: bool | None = {"float32": False, "bfloat16": True}.get(probe.precision)
        if self.low is None and not native_bfloat16(probe.device):
            self.low = False
        self._buffer: torch.Tensor | None = None

    def __call__(self, pictures: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(n, 3, H, W), n at most ``probe.chunk``, and (n,) classes -> (n,) float32."""
        with torch.no_grad():
            if self.low is None:
                return self._first(pictures, targets)
            return self._scores(pictures, targets, self.low)

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

    def _scores(self, pictures: torch.Tensor, targets: torch.Tensor, low: bool) -> torch.Tensor:
        logits = self.probe.logits(pictures, low=low)
        if self.score == "probability":
            logits = logits.softmax(dim=1)
        return logits.gather(1, targets[:, None])[:, 0]

    def _first(self, pictures: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        exact = self._scores(pictures, targets, False)
        if len(pictures) >= 2:
            trial = slice(0, TRIAL)
            error = self._scores(pictures[trial], targets[trial], True) - exact[trial]
            self.low = bool(error.square().mean().sqrt() <= TOLERANCE * exact[trial].std())
        return exact


def native_bfloat16(device: torch.device) -> bool:
    """Whether the processor multiplies in bfloat16 by itself; elsewhere it is emulated and slow."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())

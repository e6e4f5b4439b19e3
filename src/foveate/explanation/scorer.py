"""Scorer: the score of one class over very many changed pictures, as cheaply as equal results allow."""

import copy
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

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

ClassScore = Literal["logit", "probability"]


class Scorer:
    """S(x) for the class of each picture, without gradients.

    The first pictures are scored by the network itself and by what might replace it: a copy with its batch norms folded
    (equal to rounding), and with precision "auto" also half precisions, which must be faster here and stay within
    ``TOLERANCE``. Precision "float32" gives the same bits at every call; "auto" depends on the machine.
    """

    def __init__(self, probe: Probe, score: ClassScore = "logit", passes: int = 0) -> None:
        """``passes``: how many pictures will be scored, roughly."""
        self.probe, self.score, self.passes = probe, score, passes
        self.network: nn.Module = probe.model
        self.precision = LOW.get(probe.precision)
        self._settled = False
        self._buffer: torch.Tensor | None = None

    def __call__(self, pictures: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(n, 3, H, W), n at most ``probe.chunk``, and (n,) classes -> (n,) float32."""
        with torch.no_grad():
            scores = self._scores(pictures, targets, self.precision)
            if not self._settled and len(pictures) > 1:
                self._settled = True
                if self.passes >= WORTH:
                    self._settle(pictures, targets, scores)
        return scores

    def over(
        self,
        target: torch.Tensor,
        count: int,
        changed: Callable[[slice], torch.Tensor],
        done: int | None = None,
    ) -> torch.Tensor:
        """(count,) scores of the class ``target``, a scalar, for the versions of a picture that ``changed`` makes, so
        many at a time as one pass takes. ``done``: pictures scored before; then progress is told."""
        scores = []
        for part in self.probe.chunks(count):
            pictures = changed(part)
            scores.append(self(pictures, target.expand(len(pictures))))
            if done is not None:
                self.probe.report(done + part.stop, self.passes)
        return torch.cat(scores)

    def buffer(self, like: torch.Tensor) -> torch.Tensor:
        """(chunk, 3, H, W) to write changed pictures into; fresh memory costs more than the arithmetic."""
        if self._buffer is None or self._buffer.shape[1:] != like.shape[1:]:
            fresh = like.new_empty((self.probe.chunk, *like.shape[1:]))
            self._buffer = fresh.contiguous(memory_format=self.probe.memory_format)
        return self._buffer

    def _scores(self, pictures: torch.Tensor, targets: torch.Tensor, low: torch.dtype | None) -> torch.Tensor:
        with torch.autocast(self.probe.device.type, low, enabled=low is not None):
            logits = self.probe.read(self.network(pictures))
        if self.score == "probability":
            logits = logits.softmax(dim=1)
        return logits.gather(1, targets[:, None])[:, 0]

    def _settle(self, pictures: torch.Tensor, targets: torch.Tensor, exact: torch.Tensor) -> None:
        if self.precision is None:
            twin = fused_copy(self.network, pictures[:1])
            few = pictures[:2]
            own = self.probe.read(self.network(few))
            if twin is not None and (self.probe.read(twin(few)) - own).abs().max() <= EQUAL * own.abs().max():
                self.network = twin
        if self.probe.precision == "auto":
            pictures, targets, exact = pictures[:TRIAL], targets[:TRIAL], exact[:TRIAL]
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
            scores = self._scores(pictures, targets, low).cpu()
            seconds.append(time.perf_counter() - started)
        return scores.to(pictures.device), min(seconds)


def fused_copy(model: nn.Module, image: torch.Tensor) -> nn.Module | None:
    """An equal network in eval mode with batch norms folded into the convolutions before them, or None where no batch
    norm follows a convolution directly.

    Which norm follows which convolution is seen in one pass over ``image`` (1, 3, H, W). That nothing else reads the
    convolution cannot be seen: compare the copy's logits with the network's before you use it. The network itself is
    not touched.
    """
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    outputs: dict[int, tuple[str, torch.Tensor]] = {}
    pairs: list[tuple[str, str]] = []

    def seen(path: str, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        outputs[id(output)] = (path, output)

    def follows(path: str, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if id(inputs[0]) in outputs:
            pairs.append((outputs[id(inputs[0])][0], path))

    with ExitStack() as stack, torch.no_grad():
        for path, module in twin.named_modules():
            if isinstance(module, nn.Conv2d):
                stack.callback(module.register_forward_hook(partial(seen, path)).remove)
            elif isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
                stack.callback(module.register_forward_pre_hook(partial(follows, path)).remove)
        twin(image)
    once = [pair for pair in pairs if sum(pair[0] == other[0] or pair[1] == other[1] for other in pairs) == 1]
    for convolution, norm in once:
        conv: Any = twin.get_submodule(convolution)
        bn: Any = twin.get_submodule(norm)
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
        )
        parent, _, name = norm.rpartition(".")
        # What timm's batch norm does besides normalising.
        rest = nn.Sequential(getattr(bn, "drop", nn.Identity()), getattr(bn, "act", nn.Identity()))
        setattr(twin.get_submodule(parent), name, rest)
    return twin if once else None

"""Self-distillation: a network learns to agree with its own slowly moving average (DINO)."""

import copy
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.contrast import require_pairs
from foveate.objectives.term import Context, Progress, TermConfig


class SelfDistillation(nn.Module):
    """Cross-entropy between the teacher's answer to one view and the network's to the other (Caron et al., ICCV 2021).

        t = softmax((teacher(view) - centre) / teacher_temperature),  s = log softmax(network(other view) / temperature)
        loss = mean of -sum t s over both directions;  centre <- m centre + (1 - m) mean teacher(view)
        teacher <- momentum teacher + (1 - momentum) network, before each training step

    Sharpening (the low temperature) and centring keep each other from collapsing to one answer. Teacher and centre are
    part of the checkpoint.
    """

    class Config(TermConfig):
        kind: Literal["self_distillation"] = "self_distillation"
        temperature: float = Field(default=0.1, gt=0)
        teacher_temperature: float = Field(default=0.04, gt=0)
        momentum: float = Field(default=0.99, ge=0, lt=1)
        """Of the teacher. The paper's 0.996 is for a hundred times as many steps."""
        centre_momentum: float = Field(default=0.9, ge=0, lt=1)

    taps: tuple[str, ...] = ()
    centre: torch.Tensor

    def __init__(self, config: Config, context: Context) -> None:
        """Raises ConfigError: there is no network to average."""
        super().__init__()
        if context.network is None:
            raise ConfigError("The loss 'self_distillation' needs the network itself, which is not there.")
        self.config = config
        # In a tuple: the network is trained as itself, not as a part of this term.
        self._network = (context.network,)
        self.teacher = copy.deepcopy(context.network).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(1, len(context.classes)))

    def forward(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        """See the class; in eval mode nothing moves."""
        require_pairs(batch, "self_distillation")
        if self.training:
            self._follow()
        with torch.no_grad():
            says = self.teacher(batch.images).logits.float()  # (2N, K)
        target = ((says - self.centre) / self.config.teacher_temperature).softmax(dim=1)
        if self.training:
            m = self.config.centre_momentum
            self.centre.mul_(m).add_(says.mean(dim=0, keepdim=True), alpha=1 - m)
        answer = (output.logits.float() / self.config.temperature).log_softmax(dim=1)
        other = torch.arange(len(answer), device=answer.device) ^ 1
        return -(target * answer[other]).sum(dim=1).mean()

    def _follow(self) -> None:
        m = self.config.momentum
        network = self._network[0]
        with torch.no_grad():
            for own, new in zip(self.teacher.parameters(), network.parameters(), strict=True):
                own.mul_(m).add_(new, alpha=1 - m)
            for kept, now in zip(self.teacher.buffers(), network.buffers(), strict=True):
                kept.copy_(now)

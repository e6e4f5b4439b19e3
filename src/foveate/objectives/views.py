"""Losses over linked views of one picture: consistency, contrast, self-distillation."""

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.term import Context, ModuleTerm, Progress, Term, TermConfig, nothing


class JensenShannon(Term):
    """All views of a picture should be answered alike: the Jensen-Shannon divergence of their probabilities.

    JS(p_1 .. p_V) = (1/V) sum_v KL(p_v || m), m the mean of the V views' probabilities; mean over pictures.

    m is clamped to [1e-7, 1]. Where a batch holds one view of each picture (validation) the loss is 0.

    Source: Hendrycks et al., AugMix, ICLR 2020, equation 2; it weighs 12 there, beside the plain view's cross-entropy.
    """

    class Config(TermConfig):
        kind: Literal["jensen_shannon"] = "jensen_shannon"

    needs_views = True

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        if config.on:
            raise ConfigError(
                "jensen_shannon compares all views of a picture; it cannot be 'on' some of them."
            )

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        if batch.views == 1:
            return nothing(output)
        log_p = output.logits.float().log_softmax(dim=1).unflatten(0, (-1, batch.views))  # (B, V, C)
        mean = log_p.exp().mean(dim=1, keepdim=True).clamp(1e-7, 1).log()
        return (log_p.exp() * (log_p - mean)).sum(dim=2).mean()


def require_pairs(batch: Batch, loss: str) -> None:
    """Views 2k and 2k + 1 must be of one picture.

    Raises:
        ConfigError: they are not; so the pictures come from no task that makes pairs.
    """
    if len(batch) % 2 or not bool((batch.index[0::2] == batch.index[1::2]).all()):
        raise ConfigError(
            f"The loss '{loss}' needs two views of each picture; use a pretext task that makes pairs."
        )


class NTXent(Term):
    """Normalised temperature-scaled cross-entropy (SimCLR; Chen et al., ICML 2020).

    z = normalised logits (2N, D), views 2k and 2k + 1 of one picture; s = z zT / temperature
    loss = mean over i of -log( exp s[i, partner(i)] / sum over j != i of exp s[i, j] )
    """

    class Config(TermConfig):
        kind: Literal["nt_xent"] = "nt_xent"
        temperature: float = Field(default=0.2, gt=0)
        """Lower values look at the hardest pairs only; small batches want no very low one."""

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        require_pairs(batch, "nt_xent")
        z = F.normalize(output.logits.float(), dim=1)
        similarity = z @ z.T / self.config.temperature  # (2N, 2N)
        similarity.fill_diagonal_(float("-inf"))
        partner = torch.arange(len(z), device=z.device) ^ 1
        return F.cross_entropy(similarity, partner)


class SelfDistillation(ModuleTerm):
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

    centre: torch.Tensor

    def __init__(self, config: Config, context: Context) -> None:
        """Raises ConfigError: there is no network to average."""
        super().__init__(config, context)
        if context.network is None:
            raise ConfigError("The loss 'self_distillation' needs the network itself, which is not there.")
        # In a tuple: the network is trained as itself, not as a part of this term.
        self._network = (context.network,)
        self.teacher = copy.deepcopy(context.network).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(1, len(context.classes)))

    def forward(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        require_pairs(batch, "self_distillation")
        if self.training:
            self._follow()
        with torch.no_grad():
            says = self.teacher(batch.images).logits.float()  # (2N, K)
        target = ((says - self.centre) / self.config.teacher_temperature).softmax(dim=1)
        if self.training:
            m = self.config.centre_momentum
            *seen, count = self.total(
                torch.cat([says.sum(dim=0), says.new_tensor([float(len(says))])])
            ).split([says.shape[1], 1])
            self.centre.mul_(m).add_(seen[0] / count, alpha=1 - m)
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

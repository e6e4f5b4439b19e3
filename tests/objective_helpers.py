"""What the objective tests share: a scene with a feature map, and a term with a parameter."""

from typing import Any, Literal

import torch
from torch import nn

from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives import Context, Progress
from foveate.objectives.spatial import SpatialEnergy
from foveate.objectives.term import ModuleTerm, TermConfig

CONTEXT = Context(("a", "b", "c"), (1, 1, 1))


def class_map(**settings: Any) -> TermConfig:
    """A term that depends on the head: the share of the true class's Grad-CAM outside the mask."""
    return SpatialEnergy.Config(**{"aggregate": "gradcam", **settings})


def scene() -> tuple[Output, Batch]:
    """Logits that depend on a tap, and masks."""
    g = torch.Generator().manual_seed(0)
    tap = torch.randn(4, 5, 6, 6, generator=g, requires_grad=True)
    logits = tap.mean(dim=(2, 3)) @ torch.randn(5, 3, generator=g)
    masks = (torch.rand(4, 1, 12, 12, generator=g) > 0.5).float()
    batch = Batch(
        torch.zeros(4, 3, 12, 12), torch.arange(4) % 3, masks, torch.ones(4).bool(), torch.arange(4)
    )
    return Output(logits, taps={"late": tap}), batch


class Projection(ModuleTerm):
    """A term with a parameter: the squared mean of a learned mixture of channels."""

    class Config(TermConfig):
        kind: Literal["projection"] = "projection"
        tap: str = "late"

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.taps = (config.tap,)
        self.mix = nn.Parameter(torch.tensor([1.0, 0.5]))

    def forward(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        maps = output.taps[self.taps[0]][:, :2].float()
        return (maps * self.mix[:, None, None]).sum(dim=1).square().mean()

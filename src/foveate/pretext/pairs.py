"""Two views of one picture: tasks whose answer is no class, but that the views belong together."""

from typing import Any, ClassVar, Literal

import torch
from numpy.random import Generator
from pydantic import Field

from foveate.data.transforms import AugmentationConfig, Transform, build_transform
from foveate.pretext.task import Normal, Question, Task, TaskConfig

VIEW: list[dict[str, Any]] = [
    {"kind": "crop", "scale": [0.2, 1.0], "ratio": [0.75, 4 / 3]},
    {"kind": "hflip"},
    {"kind": "brightness", "amount": 0.3, "p": 0.8},
    {"kind": "contrast", "amount": 0.6, "p": 0.8},
    {"kind": "colour", "saturation": 0.6, "hue": 0.1, "p": 0.8},
    {"kind": "grey", "p": 0.2},
    {"kind": "blur", "p": 0.3},
]
"""How a view differs from its picture (after Chen et al., 2020)."""


class _Pairs(Task):
    """Base: makes views. The network's outputs are not classes, so nothing is right or wrong; see the objective."""

    pairs = True
    augment = ()
    head: ClassVar[dict[str, Any]] = {"kind": "deep", "widths": (512,), "dropout": 0.0}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.classes = tuple(f"output {k}" for k in range(config.outputs))
        self._views = AugmentationConfig(steps=tuple(VIEW))
        self._transform: Transform | None = None

    def __call__(self, image: torch.Tensor, label: int, rng: Generator, normal: Normal) -> Question:
        """One view; there is no answer (-1)."""
        size = image.shape[-1]
        if self._transform is None or self._transform.size != size:
            self._transform = build_transform(self._views, size)
        # The transform draws from a key of its own; one number of ours is that key.
        return self._transform(image, None, int(rng.integers(2**62)))[0], -1


class SimCLR(_Pairs):
    """Views of one picture lie close together, all others of the batch lie far away (loss ``nt_xent``).

    Source: Chen et al., A simple framework for contrastive learning of visual representations, ICML 2020. The head is
    the projection; what is passed on is the backbone before it.
    """

    class Config(TaskConfig):
        kind: Literal["simclr"] = "simclr"
        outputs: int = Field(default=128, ge=2, le=65_536)
        """Width of the projection."""

    objective: ClassVar[dict[str, Any]] = {"contrast": {"kind": "nt_xent"}}


class Dino(_Pairs):
    """What a slowly following teacher says of one view is what the network is to say of the other.

    The loss is ``self_distillation``. Source: Caron et al., Emerging properties in self-supervised vision transformers,
    ICCV 2021; two large views, no small ones.
    """

    class Config(TaskConfig):
        kind: Literal["dino"] = "dino"
        outputs: int = Field(default=256, ge=2, le=65_536)
        """Prototypes; the paper's 65536 are for ImageNet."""

    objective: ClassVar[dict[str, Any]] = {"distillation": {"kind": "self_distillation"}}

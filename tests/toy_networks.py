"""Two networks as unlike the ordinary one as those of the literature: one looks again, one works between the stages."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator
from torch import nn

from foveate.core.registry import by_kind
from foveate.core.rng import torch_seeded
from foveate.experiment import Experiment
from foveate.models.backbone import Backbone
from foveate.models.networks import NETWORKS, Network, NetworkConfig
from foveate.models.output import Output
from foveate.models.settings import ModelConfig
from foveate.models.taps import capture_taps, edit_tap
from foveate.training import Observer


class Zoom(Network):
    """Looks at the picture, cuts out where its map is strongest, and predicts from that; in training also from parts.

    One backbone and one layer for all (as MMAL-Net, Zhang et al., 2021). In the first epoch the picture alone counts.
    """

    class Config(NetworkConfig):
        kind: Literal["zoom"] = "zoom"
        parts: int = 2

    branches = ("raw", "object", "parts")

    def __init__(self, config: Config, backbone: Backbone, classes: int, seed: int) -> None:
        super().__init__(backbone, classes)
        self.parts = config.parts
        with torch_seeded(seed, "head"):
            self.fc = nn.Linear(self.num_features, classes)

    def answer(self, images: torch.Tensor) -> Output:
        with capture_taps(self.backbone, ["stage:-1"], images) as maps:
            raw = self.fc(self.features(images))
        branches = {"raw": raw}
        if self.training and self.progress is not None and self.progress.epoch == 0:
            return Output(raw, branches)
        objects = torch.cat([_crop(*pair) for pair in zip(images, maps["stage:-1"].detach(), strict=True)])
        branches["object"] = self.fc(self.features(objects))
        if self.training:
            half = images.shape[2] // 2
            corners = [objects[:, :, k : k + half, k : k + half] for k in range(self.parts)]
            branches["parts"] = self.fc(self.features(torch.stack(corners, dim=1).flatten(0, 1)))
        return Output(branches["object"], branches, whole=raw)


def _crop(image: torch.Tensor, feature_map: torch.Tensor) -> torch.Tensor:
    """(3, H, W) and (K, h, w) -> (1, 3, H, W); where nothing stands out it is the whole picture."""
    strength = feature_map.sum(dim=0)
    if strength.amax() == strength.amin():
        return image[None]
    row, column = divmod(int(strength.argmax()), strength.shape[1])
    side = image.shape[1] // 2
    y = min(row * image.shape[1] // strength.shape[0], side)
    x = min(column * image.shape[2] // strength.shape[1], side)
    found = image[None, :, y : y + side, x : x + side]
    return nn.functional.interpolate(found, image.shape[1:], mode="bilinear")


class Stripes(Network):
    """Enters the stages one by one: the strongest row of a map is weakened before the next stage, and each map has its
    own answer (as FBSD, Song & Yang, 2021). It predicts by the sum of all answers.
    """

    class Config(NetworkConfig):
        kind: Literal["stripes"] = "stripes"
        factor: float = 0.5

    branches = ("first", "second", "both")
    levels = ("stage:-2", "stage:-1")

    def __init__(self, config: Config, backbone: Backbone, classes: int, seed: int) -> None:
        super().__init__(backbone, classes)
        self.factor = config.factor
        widths = [self.tap_channels(level) for level in self.levels]
        with torch_seeded(seed, "head"):
            self.scores = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths)
            self.answers = nn.ModuleList(nn.Linear(width, classes) for width in widths)
            self.both = nn.Linear(sum(widths), classes)

    def answer(self, images: torch.Tensor) -> Output:
        seen: list[torch.Tensor] = []

        def between(level: int) -> Callable[[torch.Tensor], torch.Tensor]:
            def weakened(maps: torch.Tensor) -> torch.Tensor:
                rows = self.scores[level](maps).mean(dim=3, keepdim=True).softmax(dim=2)  # (B, 1, h, 1)
                seen.append((maps * (1 + rows)).mean((2, 3)))
                return torch.where(rows == rows.amax(dim=2, keepdim=True), self.factor * maps, maps)

            return weakened

        with ExitStack() as stack:
            for number, level in enumerate(self.levels):
                stack.enter_context(edit_tap(self.backbone, level, images, between(number)))
            self.features(images)
        given = [layer(pooled) for layer, pooled in zip(self.answers, seen, strict=True)]
        given.append(self.both(torch.cat(seen, dim=1)))
        return Output(torch.stack(given).sum(dim=0), dict(zip(self.branches, given, strict=True)))


@contextmanager
def known() -> Iterator[None]:
    """Inside the block the table has both, as if each had its line there."""
    field = ModelConfig.model_fields["network"]
    before, listed, annotation = dict(NETWORKS._classes), NETWORKS._listed, field.annotation

    def rebuild() -> None:
        for settings in (ModelConfig, Experiment):
            settings.model_rebuild(force=True)

    NETWORKS._classes |= {"zoom": Zoom, "stripes": Stripes}
    NETWORKS._listed = tuple(NETWORKS._classes.values())
    field.annotation = Annotated[NETWORKS.settings, BeforeValidator(by_kind)]  # type: ignore[assignment]
    rebuild()
    try:
        yield
    finally:
        NETWORKS._classes, NETWORKS._listed, field.annotation = before, listed, annotation
        rebuild()


def run_here(values: dict[str, Any], data: Path, out: Path, observer: Observer | None = None) -> None:
    """A run in this process, which knows the two (a target for a child process)."""
    from foveate.experiment import run

    torch.set_num_threads(1)
    with known():
        run(Experiment.from_dict(values), data, out, observer=observer)

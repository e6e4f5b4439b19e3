"""Augmentations by name: the list of steps that each stands for."""

from typing import ClassVar, Literal

from foveate.core.config import Config
from foveate.core.registry import Registry
from foveate.data import steps as step


class Preset(Config):
    """A list of steps that has a name."""

    steps: ClassVar[tuple[step.Step, ...]] = ()


class NoAugmentation(Preset):
    """Pictures as they are."""

    kind: Literal["none"] = "none"


class Basic(Preset):
    """Mirrored left and right, and moved a little."""

    kind: Literal["basic"] = "basic"
    steps = (step.HorizontalFlip(), step.Shift(x=0.06, y=0.06))


class Standard(Preset):
    """Cropped, mirrored, turned by up to 15 degrees, with other brightness, contrast and colours."""

    kind: Literal["standard"] = "standard"
    steps = (
        step.Crop(),
        step.HorizontalFlip(),
        step.Rotate(),
        step.Brightness(),
        step.Contrast(),
        step.ColourShift(),
    )


class Advanced(Preset):
    """Of the scene report: mirrored, cropped strongly, turned by up to 20 degrees.

    There the corners that a rotation opens are black; here they show what lies outside the crop.
    """

    kind: Literal["advanced"] = "advanced"
    steps = (
        step.HorizontalFlip(),
        step.Crop(scale=(0.08, 1.0), ratio=(0.75, 4 / 3)),
        step.Rotate(degrees=20),
    )


class Plant(Preset):
    """Of the plant-species report, in its order: a hidden rectangle, brightness, flips, shifts, turns, contrast."""

    kind: Literal["plant"] = "plant"
    steps = (
        step.Cutout(height=(0.0, 0.35), width=(0.0, 0.35), value=0),
        step.Brightness(amount=0.25),
        step.HorizontalFlip(),
        step.VerticalFlip(),
        step.Shift(x=0.25, y=0.25),
        step.Rotate(degrees=90),
        step.Contrast(),
    )


class PlantZoom(Preset):
    """As plant, with zooms, which that report tried and its final model has not."""

    kind: Literal["plant_zoom"] = "plant_zoom"
    steps = (*Plant.steps[:6], step.Zoom(), Plant.steps[6])


PRESETS = Registry("augmentation preset", NoAugmentation, Basic, Standard, Advanced, Plant, PlantZoom)

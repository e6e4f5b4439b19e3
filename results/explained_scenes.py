"""python results/explained_scenes.py SCENE15_TRAIN WEIGHTS OUT: the Scenes report's figures for one network.

A linear head on the frozen ImageNet backbone (tf_efficientnet_lite0, 128 px); Score-CAM of eight pictures that it names
correctly at first, second and last block; class images of five classes. The report's test pictures are not used.
"""

import sys
from pathlib import Path

import foveate
from foveate.recipes import finetune

CLASSES = ("bedroom", "coast", "forest", "highway", "industrial")
"""Those of the report."""
LAYERS = ("bn1", "blocks.0", "last")
"""torchvision's features.0, features.1 and features.8."""


def main(data: Path, weights: Path, out: Path) -> None:
    values = finetune(weights=str(weights), size=128, augment="basic").to_dict()
    values["training"]["phases"] = values["training"]["phases"][:1]  # the head alone
    values["data"]["split"].update(val=0.1, test=0.02)
    run = foveate.train(data, out / "head", foveate.Experiment.from_dict(values))
    foveate.explain_pictures(run, (), out / "scorecam", "scorecam", LAYERS, agreeing=8)
    foveate.invert(run, CLASSES, out / "inversion")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

"""Feature maps before training, on the way and after it beside the mask as each tap sees it, one drawing a picture."""

from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from foveate.experiment.feature_stages import FILE, FeatureStages
from foveate.experiment.run_folder import RunFolder
from foveate.reporting.canvas import NARROW_PERCENT, drawing, svg
from foveate.reporting.overlays import COLORMAP
from foveate.reporting.pictures import gallery_picture

PLACES: dict[str, Any] = {"vmin": 0, "vmax": 1, "interpolation": "nearest"}
"""How a map in [0, 1] is drawn, place by place."""


def feature_maps(run: RunFolder) -> list[dict[str, Any]]:
    """Path, picture and drawing of each picture in ``feature_maps.npz``; none without that file."""
    if not run.has(FILE):
        return []
    found = FeatureStages.load(run.folder / FILE)
    return [
        {
            "path": run.listed[index]["path"], "uri": gallery_picture(found.image[k], found.mask[k], None),
            "drawing": drawn(found, k, run.listed[index]["path"]),
        }
        for k, index in enumerate(found.index.tolist())
    ]  # fmt: skip


def drawn(found: FeatureStages, k: int, path: str) -> Markup:
    """Rows are taps, the mask at the tap's size first; below each map what share of it lies on the object."""
    stages = list(next(iter(found.maps.values())))
    masked = bool(found.mask[k].any())
    rows: list[tuple[str, str, float | str]] = []
    with drawing():
        figure = Figure(
            figsize=(1.15 * (len(stages) + masked) + 0.5, 1.35 * len(found.maps)), layout="constrained"
        )
        grid = figure.subplots(len(found.maps), len(stages) + masked, squeeze=False)
        for number, (line, (tap, of_stage)) in enumerate(zip(grid, found.maps.items(), strict=True)):
            shape = of_stage[stages[0]].shape[1:]
            mask = resized(found.mask[k], shape)
            shown = [("mask", mask)] if masked else []
            shown += [(stage, of_stage[stage][k].astype(np.float64)) for stage in stages]
            for axes, (name, values) in zip(line, shown, strict=True):
                if not number:
                    axes.set_title(name, fontsize=9)
                if axes is line[0]:
                    axes.set_ylabel(f"{tap}\n{shape[0]} × {shape[1]}", fontsize=9)
                if name == "mask":
                    show(axes, values, **PLACES, cmap="gray")
                else:
                    energy = show_map(axes, values, mask if masked else None)
                    rows.append((tap, name, "" if energy is None else energy))
        told = ", ".join(f"{tap} {stage} {100 * e:.0f} %" for tap, stage, e in rows if isinstance(e, float))
        label = f"Feature maps of {path}, share on the object: {told or 'no mask'}"
        name = f"feature-maps-{found.index[k]}"
        return svg(figure, name=name, label=label, data=(("tap", "stage", "energy_in_mask"), rows))


def show_map(axes: Axes, values: np.ndarray, mask: np.ndarray | None) -> float | None:
    """Draw a map (h, w) in [0, 1]; below it, and returned, the share of it that lies on the object in ``mask`` (h, w).

    None without a mask, and where the map is empty.
    """
    show(axes, values, **PLACES, cmap=COLORMAP)
    if mask is None or not values.any():
        return None
    energy = float((values * mask).sum() / values.sum())
    axes.set_xlabel(f"{100 * energy:.0f}{NARROW_PERCENT}", fontsize=9)
    return energy


def show(axes: Axes, picture: np.ndarray, **how: Any) -> None:
    """Draw a picture without anything around it; ``how`` goes to matplotlib's ``imshow``."""
    axes.imshow(picture, **how)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def resized(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) uint8 -> (h, w) in [0, 1]: the object's share of each place of the map."""
    small = Image.fromarray(mask).resize((shape[1], shape[0]), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64) / 255

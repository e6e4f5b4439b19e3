"""Drawing pieces shared by animals and grounds: light, coverage, tapered strokes, reduction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Rgb = tuple[float, float, float]
Window = tuple[slice, slice]
"""Rows and columns of a canvas."""


@dataclass(frozen=True)
class Light:
    """One lamp at infinity and the sky. Picture frame: x to the right, y down, z towards the viewer."""

    azimuth: float
    """Radians in the picture plane, pointing towards the lamp; -pi/2 is the top of the picture."""
    elevation: float
    """Radians above the picture plane."""
    warmth: float
    """Colour of the lamp from cool (-1) to warm (+1)."""
    exposure: float
    """Factor on the whole picture."""
    softness: float
    """0 = clear sky and hard shadows, 1 = overcast."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Light":
        """Daylight from the upper half of the picture."""
        u = rng.random(5)
        return cls(
            azimuth=-np.pi / 2 + np.radians(130) * (u[0] - 0.5),
            elevation=np.radians(38 + 24 * u[1]),
            warmth=2 * u[2] - 1,
            exposure=0.86 + 0.28 * u[3],
            softness=u[4],
        )

    @property
    def direction(self) -> tuple[float, float, float]:
        """Unit vector towards the lamp, picture frame."""
        flat = np.cos(self.elevation)
        return flat * np.cos(self.azimuth), flat * np.sin(self.azimuth), np.sin(self.elevation)

    @property
    def tint(self) -> np.ndarray:
        """(3,) float32, factors on red, green, blue."""
        return np.array([1 + 0.07 * self.warmth, 1 + 0.01 * self.warmth, 1 - 0.09 * self.warmth], np.float32)


def rgb(code: str) -> Rgb:
    """'#rrggbb' as three numbers in [0, 1]."""
    return tuple(int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def mix(low: np.ndarray | Rgb, high: np.ndarray | Rgb, amount: np.ndarray) -> np.ndarray:
    """Blend two colours, (3,) or (..., 3), by ``amount`` (...) clipped to [0, 1]; (..., 3) float32."""
    amount = np.clip(amount, 0, 1).astype(np.float32)[..., None]
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    blended = (high - low) * amount
    blended += low
    return blended


@dataclass(frozen=True)
class Stroke:
    """A capsule in pixels whose radius runs evenly from one end to the other."""

    start: tuple[float, float]
    end: tuple[float, float]
    radius: tuple[float, float]


def stroke_field(strokes: Sequence[Stroke], size: int) -> tuple[Window, np.ndarray, np.ndarray, np.ndarray]:
    """The union of strokes on a ``size`` x ``size`` canvas, computed in the window (h, w) that holds them.

    Returns:
        the window; coverage (h, w) in [0, 1], anti-aliased; normal_x and normal_y (h, w), the sideways part
        of the unit normal of the nearest stroke, as if it were a round rod.
    """
    boxes = [_box(stroke, size) for stroke in strokes]
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[2] for box in boxes), max(box[3] for box in boxes)
    nearest = np.full((bottom - top, right - left), 9.0, np.float32)
    normal_x, normal_y = np.zeros((2, *nearest.shape), np.float32)
    for stroke, (x_from, y_from, x_to, y_to) in zip(strokes, boxes, strict=True):
        (x0, y0), (x1, y1), (r0, r1) = stroke.start, stroke.end, stroke.radius
        window = (slice(y_from - top, y_to - top), slice(x_from - left, x_to - left))
        dx = np.arange(x_from, x_to, dtype=np.float32) + (0.5 - x0)
        dy = np.arange(y_from, y_to, dtype=np.float32)[:, None] + (0.5 - y0)
        ax, ay = x1 - x0, y1 - y0
        along = (dx * ax + dy * ay) / max(ax * ax + ay * ay, 1e-6)
        along = np.minimum(np.maximum(along, 0), 1)
        dx, dy = dx - along * ax, dy - along * ay
        distance = np.sqrt(dx * dx + dy * dy)
        radius = r0 + (r1 - r0) * along
        signed = distance - radius
        closer = signed < nearest[window]
        np.copyto(nearest[window], signed, where=closer)
        scale = 1 / np.maximum(radius, distance)
        np.copyto(normal_x[window], dx * scale, where=closer)
        np.copyto(normal_y[window], dy * scale, where=closer)
    return (slice(top, bottom), slice(left, right)), np.clip(0.5 - nearest, 0, 1), normal_x, normal_y


def _box(stroke: Stroke, size: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels a stroke can touch; empty boxes stay on the canvas."""
    margin = max(stroke.radius) + 1.5
    (x0, y0), (x1, y1) = stroke.start, stroke.end
    low = [min(max(0, int(min(pair) - margin)), size) for pair in ((x0, x1), (y0, y1))]
    high = [min(max(0, int(max(pair) + margin + 1)), size) for pair in ((x0, x1), (y0, y1))]
    return low[0], low[1], high[0], high[1]


def rod_shade(normal_x: np.ndarray, normal_y: np.ndarray, light: Light) -> np.ndarray:
    """Brightness of round rods, (H, W), about 0.4 in the shade and 1.3 at the lit side."""
    lx, ly, lz = light.direction
    upward = np.sqrt(np.clip(1 - normal_x**2 - normal_y**2, 0, 1))
    return 0.42 + 0.9 * np.clip(normal_x * lx + normal_y * ly + upward * lz, 0, 1)


def reduce_by(picture: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of ``factor`` x ``factor`` pixels: (H, W, ...) -> (H / factor, W / factor, ...)."""
    total = picture[::factor].copy()
    for row in range(1, factor):
        total += picture[row::factor]
    result = total[:, ::factor].copy()
    for column in range(1, factor):
        result += total[:, column::factor]
    result /= factor * factor
    return result

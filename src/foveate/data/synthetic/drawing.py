"""Drawing pieces shared by animals and grounds: light, coverage, tapered strokes, reduction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Rgb = tuple[float, float, float]


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
    amount = np.clip(amount, 0, 1)[..., None].astype(np.float32)
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return low + (high - low) * amount


@dataclass(frozen=True)
class Stroke:
    """A capsule in pixels whose radius runs evenly from one end to the other."""

    start: tuple[float, float]
    end: tuple[float, float]
    radius: tuple[float, float]


def stroke_field(strokes: Sequence[Stroke], size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The union of strokes on a ``size`` x ``size`` canvas.

    Returns:
        coverage (size, size) in [0, 1], anti-aliased; normal_x and normal_y (size, size), the sideways part of the
        unit normal of the nearest stroke, as if it were a round rod.
    """
    nearest = np.full((size, size), 9.0, np.float32)
    normal_x, normal_y = np.zeros((2, size, size), np.float32)
    for stroke in strokes:
        (x0, y0), (x1, y1), (r0, r1) = stroke.start, stroke.end, stroke.radius
        margin = max(r0, r1) + 1.5
        left, right = int(max(0, min(x0, x1) - margin)), int(min(size, max(x0, x1) + margin + 1))
        top, bottom = int(max(0, min(y0, y1) - margin)), int(min(size, max(y0, y1) + margin + 1))
        if left >= right or top >= bottom:
            continue
        window = (slice(top, bottom), slice(left, right))
        dx = np.arange(left, right, dtype=np.float32) + (0.5 - x0)
        dy = np.arange(top, bottom, dtype=np.float32)[:, None] + (0.5 - y0)
        ax, ay = x1 - x0, y1 - y0
        along = np.clip((dx * ax + dy * ay) / max(ax * ax + ay * ay, 1e-6), 0, 1)
        dx, dy = dx - along * ax, dy - along * ay
        distance = np.sqrt(dx * dx + dy * dy)
        radius = r0 + (r1 - r0) * along
        signed = distance - radius
        closer = signed < nearest[window]
        np.copyto(nearest[window], signed, where=closer)
        np.copyto(normal_x[window], dx / np.maximum(radius, distance), where=closer)
        np.copyto(normal_y[window], dy / np.maximum(radius, distance), where=closer)
    return np.clip(0.5 - nearest, 0, 1), normal_x, normal_y


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

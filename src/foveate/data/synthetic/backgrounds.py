"""The grounds: textures of colour and height, drawn larger than a picture, cut out and lit for each picture.

A texture function takes a ``_Sheet`` (random numbers and coordinates) and returns colour (T, T, 3) and height
(T, T). Height is in picture sides, so that the slope is free of units; the light comes later and differs from
picture to picture. Add a ground with one function and one line in ``_GROUNDS``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from foveate.core.errors import ConfigError
from foveate.data.synthetic.drawing import Light, Rgb, mix, rgb

_Texture = tuple[np.ndarray, np.ndarray]


class _Sheet:
    """Coordinates and noise of one texture of ``pixels`` x ``pixels``, ``size`` pixels to a picture side."""

    def __init__(self, rng: np.random.Generator, pixels: int, size: int) -> None:
        self.rng, self.pixels, self.size = rng, pixels, size
        line = (np.arange(pixels, dtype=np.float32) + 0.5) / size
        self.x = np.broadcast_to(line, (pixels, pixels))
        self.y = np.broadcast_to(line[:, None], (pixels, pixels))
        self.side = pixels / size
        cycles = fft.fftfreq(pixels, 1 / size).astype(np.float32)[:, None]
        self._frequency = (cycles, fft.rfftfreq(pixels, 1 / size).astype(np.float32))

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def noise(self, length: float, roughness: float = 1.2, stretch: float = 1.0) -> np.ndarray:
        """Smooth noise, (T, T), mean 0 and deviation 1. Features of about ``length`` picture sides; larger
        ``roughness`` is smoother; ``stretch`` > 1 draws the features out along y."""
        white = self.rng.standard_normal((self.pixels, self.pixels), dtype=np.float32)
        fy, fx = self._frequency
        squared = (length * length) * ((fy * stretch) ** 2 + fx**2)
        field = fft.irfft2(fft.rfft2(white) * (1 + 9 * squared) ** np.float32(-roughness), s=white.shape)
        field -= field.mean()
        field /= field.std() + 1e-9
        return np.asarray(field, np.float32)

    def grain(self) -> np.ndarray:
        """White noise, (T, T), deviation 1."""
        return self.rng.standard_normal((self.pixels, self.pixels), dtype=np.float32)

    def cells(self, spacing: float, jitter: float = 0.9) -> np.ndarray:
        """A net of cells: distance to the nearest border in units of ``spacing``, (T, T)."""
        count = int(np.ceil(self.side / spacing)) + 1
        grid = np.stack(np.meshgrid(np.arange(count), np.arange(count)), -1).reshape(-1, 2).astype(np.float32)
        grid[:, 0] += 0.5 * (grid[:, 1] % 2)
        points = (grid + jitter * (self.rng.random((count * count, 2), dtype=np.float32) - 0.5)) * spacing
        pixel = np.clip((points * self.size).astype(int), 0, self.pixels - 1)
        seeds = np.ones((self.pixels, self.pixels), bool)
        seeds[pixel[:, 1], pixel[:, 0]] = False
        rows, columns = ndimage.distance_transform_edt(seeds, return_distances=False, return_indices=True)
        number = rows * self.pixels + columns
        border = np.ones((self.pixels, self.pixels), bool)
        border[:, 1:] &= number[:, 1:] == number[:, :-1]
        border[1:] &= number[1:] == number[:-1]
        return np.asarray(ndimage.distance_transform_edt(border) / (spacing * self.size), np.float32)


def _smooth(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _blade(s: _Sheet, dark: Rgb, light: Rgb, vein: Rgb, spots: Rgb, decay: float) -> _Texture:
    """A leaf blade: midrib, side veins in arcs, a fine net, and blotches where it decays."""
    angle = s.uniform(-0.5, 0.5)
    bend = 0.03 * s.noise(0.9)
    across = (s.x - s.side / 2) * np.cos(angle) + (s.y - s.side / 2) * np.sin(angle) + bend
    along = (s.y - s.side / 2) * np.cos(angle) - (s.x - s.side / 2) * np.sin(angle)
    period = 1.25  # picture sides between midribs, so that a cut shows one now and then
    shifted = across + s.uniform(0, period)
    blade = np.floor(shifted / period)
    from_rib = (shifted / period - blade - 0.5) * period
    side = np.abs(from_rib)
    spacing = s.uniform(0.19, 0.25)
    phase = (along + 0.37 * blade - 0.75 * side + 0.35 * side * side + 0.02 * np.sign(from_rib)) / spacing
    to_vein = np.abs(phase - np.round(phase)) * spacing
    ribs = np.exp(-((side / 0.016) ** 2))
    veins = np.exp(-((to_vein / 0.010) ** 2)) * np.exp(-side)
    depth = s.cells(0.055)
    net = np.exp(-((depth / 0.09) ** 2))
    edge = np.clip((0.5 * period - side) / 0.018, 0, 1)
    body = mix(
        dark, light, 0.5 + 0.22 * s.noise(0.35) + 0.08 * s.noise(0.05) + 0.5 * (to_vein / spacing - 0.25)
    )
    colour = mix(body, vein, 0.20 * net + 0.55 * veins + 0.85 * ribs)
    if decay:
        blotch = _smooth(1.0, 1.7, s.noise(0.16, 1.3) + 0.25 * s.noise(0.03))
        colour = mix(colour, spots, decay * blotch)
    colour = colour * (0.35 + 0.65 * edge)[..., None]
    height = 0.016 * np.sqrt(np.clip(to_vein / spacing, 0, 1)) - 0.016 * ribs - 0.003 * net + 0.03 * edge
    return colour, height + 0.012 * s.noise(0.5)


def _leaf(s: _Sheet) -> _Texture:
    return _blade(s, rgb("#2f6a1f"), rgb("#6fae3c"), rgb("#b9d888"), rgb("#8a8a30"), 0.35 * s.uniform(0, 1))


def _autumn(s: _Sheet) -> _Texture:
    return _blade(s, rgb("#a1401a"), rgb("#dd8a2a"), rgb("#f0c26a"), rgb("#4d2614"), 0.9)


def _bark(s: _Sheet) -> _Texture:
    warp = 0.05 * s.noise(0.5)
    plates = s.noise(0.09, 1.15, stretch=0.22)
    ridge = 1 - np.abs(plates + 6 * warp)
    crack = _smooth(0.45, 0.95, ridge)
    fibre = s.noise(0.018, 1.0, stretch=0.12)
    tone = 0.45 + 0.22 * s.noise(0.4) + 0.16 * fibre + 0.10 * plates
    colour = mix(rgb("#5b4636"), rgb("#b39a80"), tone)
    colour = mix(colour, rgb("#1d140e"), 0.85 * crack)
    lichen = _smooth(1.25, 1.6, s.noise(0.14) + 0.35 * s.noise(0.02)) * (1 - crack)
    colour = mix(colour, rgb("#a9b39a"), 0.8 * lichen)
    return colour, -0.035 * crack + 0.006 * fibre + 0.012 * plates + 0.004 * lichen


def _sand(s: _Sheet) -> _Texture:
    angle = s.uniform(-0.6, 0.6)
    run = s.x * np.sin(angle) + s.y * np.cos(angle) + 0.07 * s.noise(0.45)
    wave = 2 * np.pi * run / s.uniform(0.26, 0.36)
    ripple = np.sin(wave + 0.45 * np.sin(wave))
    grain = s.noise(0.006, 0.7)
    colour = mix(rgb("#c29a62"), rgb("#eed9ae"), 0.52 + 0.13 * ripple + 0.2 * grain + 0.08 * s.noise(0.5))
    speck = s.noise(0.010, 1.5)
    colour = mix(colour, rgb("#6b5138"), 0.75 * _smooth(2.1, 2.6, speck))
    colour = mix(colour, rgb("#fffaf0"), 0.8 * _smooth(2.2, 2.7, -speck))
    return colour, 0.016 * ripple + 0.0012 * grain + 0.006 * s.noise(0.2)


def _petal(s: _Sheet) -> _Texture:
    cx, cy = s.uniform(-0.2, 0.2) * s.side, s.side * s.uniform(1.02, 1.2)
    dx, dy = s.x - cx + 0.03 * s.noise(0.6), s.y - cy
    angle, radius = np.arctan2(dx, -dy), np.sqrt(dx * dx + dy * dy)
    width = s.uniform(0.34, 0.42)
    turned = angle / width + 0.25 * np.sin(1.7 * radius)
    petal = np.floor(turned)
    within = turned - petal  # 0..1 across one petal; the next one lies over its right edge
    streak = s.rng.standard_normal(4096).astype(np.float32)
    fine = ndimage.gaussian_filter1d(streak, 1.2)[((angle + 4) * 420).astype(int) % 4096]
    hue = (petal * 0.618) % 1
    tone = 0.5 + 0.35 * (radius / s.side - 0.6) + 0.14 * fine + 0.10 * s.noise(0.3) + 0.15 * (hue - 0.5)
    colour = mix(rgb("#f7c3d6"), rgb("#c42f7c"), tone)
    colour = mix(colour, rgb("#fff1e4"), 0.55 * np.exp(-(((within - 0.5) / 0.16) ** 2)))
    colour = mix(colour, rgb("#5d0f3c"), 0.6 * _smooth(0.80, 1.0, within))
    height = 0.16 * width * np.sin(np.pi * np.clip(within, 0, 1)) * 0.6 + 0.0035 * fine + 0.02 * s.noise(0.4)
    return colour, height


def _moss(s: _Sheet) -> _Texture:
    clump, tuft = s.noise(0.17, 1.2), s.noise(0.028, 1.1)
    leaf = s.noise(0.011, 0.9)
    lift = 0.55 * clump + 0.75 * tuft + 0.45 * leaf
    colour = mix(rgb("#0f2410"), rgb("#4c7a1e"), 0.45 + 0.32 * lift)
    colour = mix(colour, rgb("#b6cc4a"), 0.75 * _smooth(0.7, 2.3, lift + 0.4 * leaf))
    return colour, 0.022 * clump + 0.010 * tuft + 0.0035 * leaf


def _stone(s: _Sheet) -> _Texture:
    cloud = s.noise(0.5)
    fleck = s.noise(0.012, 0.9)
    colour = mix(rgb("#5f666e"), rgb("#a9adad"), 0.5 + 0.24 * cloud + 0.07 * fleck)
    colour = mix(colour, rgb("#23272c"), 0.7 * _smooth(1.2, 2.0, fleck))
    colour = mix(colour, rgb("#e8e6df"), 0.7 * _smooth(1.5, 2.2, -fleck))
    quartz = _smooth(0.90, 0.985, 1 - np.abs(s.noise(0.7, 1.3) + 0.05 * fleck))
    colour = mix(colour, rgb("#e6e2d8"), 0.7 * quartz)
    rust = _smooth(0.9, 1.8, s.noise(0.35))
    colour = mix(colour, rgb("#94704e"), 0.45 * rust)
    return colour, 0.03 * s.noise(0.35, 1.6) + 0.0015 * fleck + 0.004 * quartz


def _pebbles(s: _Sheet) -> _Texture:
    """Worn stones heaped in dark soil: the highest surface wins at each pixel."""
    colour = mix(rgb("#1a120c"), rgb("#57412f"), 0.45 + 0.3 * s.noise(0.012, 0.8))
    height = 0.004 * s.noise(0.02)
    fleck = s.noise(0.012, 0.9)
    count = int(46 * s.side**2)
    sizes = 0.035 + 0.10 * s.rng.random(count) ** 1.7
    tones = mix(rgb("#5d544d"), rgb("#c4b8a8"), s.rng.random(count))
    kinds = s.rng.random(count)
    tones[kinds > 0.80] *= np.array(rgb("#e09a78"), np.float32)
    tones[kinds < 0.20] *= np.array(rgb("#9fb2c4"), np.float32)
    for (x, y), radius, tone, (squash, turn, lift) in zip(
        s.rng.uniform(0, s.side, (count, 2)), sizes, tones, s.rng.random((count, 3)), strict=True
    ):
        left, top = (max(0, int((c - radius) * s.size)) for c in (x, y))
        right, bottom = (min(s.pixels, int((c + radius) * s.size) + 2) for c in (x, y))
        window = (slice(top, bottom), slice(left, right))
        dx, dy = s.x[window] - np.float32(x), s.y[window] - np.float32(y)
        c, d = np.float32(np.cos(3.14 * turn)), np.float32(np.sin(3.14 * turn))
        across, along = (dx * c + dy * d) / radius, (dy * c - dx * d) / (radius * (0.62 + 0.38 * squash))
        level = across * across + along * along
        level = level * (0.75 + 0.25 * level)  # a flatter top than an egg's
        surface = 0.55 * radius * np.sqrt(np.clip(1 - level, 0, 1)) + 0.04 * lift
        seen = (level < 1) & (surface > height[window])
        np.copyto(height[window], surface, where=seen)
        worn = tone * (1.05 - 0.5 * level * level)[..., None] * (1 + 0.05 * fleck[window])[..., None]
        np.copyto(colour[window], worn, where=seen[..., None])
    return colour, height


_GROUNDS: dict[str, Callable[[_Sheet], _Texture]] = {
    "leaf": _leaf,
    "bark": _bark,
    "sand": _sand,
    "petal": _petal,
    "pebbles": _pebbles,
    "moss": _moss,
    "stone": _stone,
    "autumn": _autumn,
}
BACKGROUNDS = tuple(_GROUNDS)
"""Names of the grounds; the species at the same place of ``SPECIES`` has this one for its own."""


@dataclass(frozen=True)
class Sheet:
    """A texture larger than a picture, to cut pictures' grounds from."""

    values: np.ndarray
    """(T, T, 4) float16: red, green, blue in [0, 1], height in picture sides."""
    size: int
    """Pixels to a picture side."""


def draw_sheet(background: str, rng: np.random.Generator, size: int, span: float = 3.0) -> Sheet:
    """Draw a texture of ``span`` x ``span`` picture sides.

    Raises:
        ConfigError: there is no such background.
    """
    if background not in _GROUNDS:
        raise ConfigError(f"There is no background '{background}'; choose one of {', '.join(BACKGROUNDS)}.")
    sheet = _Sheet(rng, 2 * int(np.ceil(span * size / 2)), size)
    colour, height = _GROUNDS[background](sheet)
    return Sheet(np.concatenate([colour, height[..., None]], -1).astype(np.float16), size)


def cut_ground(sheet: Sheet, rng: np.random.Generator, light: Light, size: int) -> np.ndarray:
    """Cut, turn, tint, light and slightly defocus one picture's ground; (size, size, 3) float32."""
    pixels = sheet.values.shape[0]
    zoom = float(rng.uniform(0.8, 1.1)) * sheet.size / size
    angle, mirror = float(rng.uniform(-0.6, 0.6)), 1 if rng.random() < 0.5 else -1
    reach = 0.5 * size * zoom * (abs(np.cos(angle)) + abs(np.sin(angle))) + 2
    low, high = min(reach, pixels / 2), max(pixels - reach, pixels / 2)
    cx, cy = rng.uniform(low, high, 2)
    line = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * zoom
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    column = mirror * line * c - line[:, None] * s + cx
    row = mirror * line * s + line[:, None] * c + cy
    patch = _bilinear(sheet.values, np.clip(row, 0, pixels - 1.01), np.clip(column, 0, pixels - 1.01))

    slope_y, slope_x = np.gradient(patch[..., 3], 1 / size)
    lx, ly, lz = light.direction
    facing = (lz - slope_x * lx - slope_y * ly) / np.sqrt(1 + slope_x**2 + slope_y**2)
    relief = 0.30 + 0.15 * light.softness + (0.85 - 0.35 * light.softness) * np.clip(facing, 0, 1.2)
    tint = 1 + rng.uniform(-0.06, 0.06, 3).astype(np.float32)
    ground = patch[..., :3] * (relief * float(rng.uniform(0.85, 1.12)))[..., None] * tint
    return ndimage.gaussian_filter(
        ground, (size * float(rng.uniform(0.004, 0.010)),) * 2 + (0,), mode="nearest"
    )


def _bilinear(values: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """(T, T, C) read at (h, w) places -> (h, w, C) float32."""
    width, channels = values.shape[1], values.shape[2]
    flat = values.reshape(-1, channels)
    top, left = row.astype(np.int64), column.astype(np.int64)
    v, u = (row - top)[..., None].astype(np.float32), (column - left)[..., None].astype(np.float32)
    at = top * width + left
    upper = flat[at] * (1 - u) + flat[at + 1] * u
    lower = flat[at + width] * (1 - u) + flat[at + width + 1] * u
    return np.asarray(upper * (1 - v) + lower * v, np.float32)

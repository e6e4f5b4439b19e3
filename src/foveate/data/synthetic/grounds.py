"""The grounds: textures of colour and height, drawn afresh for each picture and lit as the animal is.

A ground is one function and one line in ``_GROUNDS``: it takes a ``_Place`` (coordinates and random numbers) and gives
colour (3, n, n) and height (n, n) in picture sides.
"""

from collections.abc import Callable

import numpy as np
from scipy import fft, ndimage

from foveate.data.synthetic.drawing import Light, lit, mix, pixels, rgb

_Texture = tuple[np.ndarray, np.ndarray]


class _Place:
    """Coordinates x and y (n, n) in picture sides, 0 in the middle, turned at random; and noise that goes with them."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng, self.size, self.uniform = rng, size, rng.uniform
        turn = complex(np.exp(1j * rng.uniform(-0.6, 0.6)))
        self.spot = (pixels(size) / size - (0.5 + 0.5j)) * (turn * rng.uniform(0.8, 1.1))
        self.x, self.y = self.spot.real, self.spot.imag
        cycles = fft.rfftfreq(size, 1 / size) + 1j * fft.fftfreq(size, 1 / size)[:, None]
        self.cycles = (cycles * turn).astype(np.complex64)

    def noise(self, length: float, roughness: float = 1.2, stretch: float = 1.0) -> np.ndarray:
        """Smooth noise, (n, n), mean 0 and deviation 1. Features of about ``length`` picture sides; larger
        ``roughness`` is smoother; ``stretch`` < 1 draws the features out along y."""
        white = fft.rfft2(self.rng.standard_normal((self.size, self.size), dtype=np.float32))
        squared = length**2 * (self.cycles.real**2 + (stretch * self.cycles.imag) ** 2)
        field = fft.irfft2(white * (1 + 9 * squared) ** np.float32(-roughness), s=(self.size, self.size))
        return np.asarray((field - field.mean()) / (field.std() + 1e-9), np.float32)


def _blade(s: _Place, dark: str, light: str, vein: str, spots: str, decay: float) -> _Texture:
    """A leaf blade: midrib, side veins in arcs, a fine net, and blotches where it decays."""
    period = 1.25  # picture sides between midribs, so that a picture shows one now and then
    shifted = (s.x + 0.03 * s.noise(0.9)) / period + s.uniform(0, 1)
    from_rib = (shifted - np.floor(shifted) - 0.5) * period
    side, spacing = np.abs(from_rib), s.uniform(0.19, 0.25)
    arcs = s.y + s.uniform(0, 1) - 0.75 * side + 0.35 * side**2 + 0.02 * np.sign(from_rib)
    off_vein = np.abs(arcs / spacing - np.round(arcs / spacing))
    ribs = np.exp(-((side / 0.016) ** 2))
    veins = np.exp(-((off_vein * spacing / 0.010) ** 2) - side)
    net = np.exp(-((s.noise(0.06) / 0.2) ** 2))
    edge = np.clip((0.5 * period - side) / 0.018, 0, 1)
    colour = mix(dark, light, 0.37 + 0.22 * s.noise(0.35) + 0.08 * s.noise(0.05) + 0.5 * off_vein)
    colour = mix(colour, vein, 0.20 * net + 0.55 * veins + 0.85 * ribs)
    blotch = s.noise(0.16, 1.3) + 0.25 * s.noise(0.03)
    colour = mix(colour, spots, decay * np.interp(blotch, (1.0, 1.7), (0, 1)))
    height = 0.016 * np.sqrt(off_vein) - 0.016 * ribs - 0.003 * net + 0.03 * edge + 0.012 * s.noise(0.5)
    return colour * (0.35 + 0.65 * edge), height


def _bark(s: _Place) -> _Texture:
    plates, fibre = s.noise(0.09, 1.15, stretch=0.22), s.noise(0.018, 1.0, stretch=0.12)
    crack = np.interp(1 - np.abs(plates + 0.3 * s.noise(0.5)), (0.45, 0.95), (0, 1))
    lichen = np.interp(s.noise(0.14) + 0.35 * s.noise(0.02), (1.25, 1.6), (0, 1)) * (1 - crack)
    colour = mix("#5b4636", "#b39a80", 0.45 + 0.22 * s.noise(0.4) + 0.16 * fibre + 0.10 * plates)
    colour = mix(mix(colour, "#1d140e", 0.85 * crack), "#a9b39a", 0.8 * lichen)
    return colour, -0.035 * crack + 0.006 * fibre + 0.012 * plates + 0.004 * lichen


def _sand(s: _Place) -> _Texture:
    wave = 2 * np.pi * (s.y + 0.07 * s.noise(0.45) + s.uniform(0, 1)) / s.uniform(0.26, 0.36)
    ripple, grain, speck = np.sin(wave + 0.45 * np.sin(wave)), s.noise(0.006, 0.7), s.noise(0.010, 1.5)
    colour = mix("#c29a62", "#eed9ae", 0.52 + 0.13 * ripple + 0.2 * grain + 0.08 * s.noise(0.5))
    colour = mix(colour, "#6b5138", 0.75 * np.interp(speck, (2.1, 2.6), (0, 1)))
    colour = mix(colour, "#fffaf0", 0.8 * np.interp(-speck, (2.2, 2.7), (0, 1)))
    return colour, 0.016 * ripple + 0.0012 * grain + 0.006 * s.noise(0.2)


def _petal(s: _Place) -> _Texture:
    ray = (s.spot - complex(s.uniform(-1, 1), s.uniform(1, 2.4)) + 0.03 * s.noise(0.6)) * 1j
    angle, radius, width = np.angle(ray), np.abs(ray), s.uniform(0.34, 0.42)  # straight up is 0
    petal, within = np.divmod(angle / width + 0.25 * np.sin(1.7 * radius), 1)
    streaks = ndimage.gaussian_filter1d(s.rng.standard_normal(4096).astype(np.float32), 1.2)
    fine = streaks[((angle + 4) * 420).astype(int) % 4096]
    tone = 0.17 + 0.12 * radius + 0.14 * fine + 0.10 * s.noise(0.3) + 0.15 * (petal * 0.618 % 1)
    colour = mix("#f7c3d6", "#c42f7c", tone)
    colour = mix(colour, "#fff1e4", 0.55 * np.exp(-(((within - 0.5) / 0.16) ** 2)))
    colour = mix(colour, "#5d0f3c", 0.6 * np.interp(within, (0.80, 1.0), (0, 1)))  # under the next one
    return colour, 0.096 * width * np.sin(np.pi * within) + 0.0035 * fine + 0.02 * s.noise(0.4)


def _moss(s: _Place) -> _Texture:
    clump, tuft, leaf = s.noise(0.17, 1.2), s.noise(0.028, 1.1), s.noise(0.011, 0.9)
    lift = 0.55 * clump + 0.75 * tuft + 0.45 * leaf
    colour = mix("#0f2410", "#4c7a1e", 0.45 + 0.32 * lift)
    colour = mix(colour, "#b6cc4a", 0.75 * np.interp(lift + 0.4 * leaf, (0.7, 2.3), (0, 1)))
    return colour, 0.022 * clump + 0.010 * tuft + 0.0035 * leaf


def _stone(s: _Place) -> _Texture:
    fleck = s.noise(0.012, 0.9)
    quartz = np.interp(1 - np.abs(s.noise(0.7, 1.3) + 0.05 * fleck), (0.90, 0.985), (0, 1))
    colour = mix("#5f666e", "#a9adad", 0.5 + 0.24 * s.noise(0.5) + 0.07 * fleck)
    colour = mix(colour, "#23272c", 0.7 * np.interp(fleck, (1.2, 2.0), (0, 1)))
    colour = mix(colour, "#e8e6df", 0.7 * np.maximum(quartz, np.interp(-fleck, (1.5, 2.2), (0, 1))))
    colour = mix(colour, "#94704e", 0.45 * np.interp(s.noise(0.35), (0.9, 1.8), (0, 1)))
    return colour, 0.03 * s.noise(0.35, 1.6) + 0.0015 * fleck + 0.004 * quartz


def _pebbles(s: _Place) -> _Texture:
    """Worn stones heaped in dark soil: the highest surface wins at each pixel."""
    colour = mix("#1a120c", "#57412f", 0.45 + 0.3 * s.noise(0.012, 0.8))
    height, fleck = 0.004 * s.noise(0.02), s.noise(0.012, 0.9)
    tints = [rgb(code) for code in ("#9fb2c4", "#ffffff", "#ffffff", "#ffffff", "#e09a78")]
    for u in s.rng.random((90, 7)).tolist():
        radius = 0.035 + 0.10 * u[0] ** 1.7
        offset = (s.spot - complex(1.5 * u[1] - 0.75, 1.5 * u[2] - 0.75)) * (-1 + 0j) ** u[3] / radius
        level = offset.real**2 + (offset.imag / (0.62 + 0.38 * u[4])) ** 2
        level *= 0.75 + 0.25 * level  # a flatter top than an egg's
        surface = 0.55 * radius * np.sqrt(np.clip(1 - level, 0, 1)) + 0.04 * u[5]
        seen = (level < 1) & (surface > height)
        worn = (1.05 - 0.5 * level[seen] ** 2) * (1 + 0.05 * fleck[seen])
        tone = mix("#5d544d", "#c4b8a8", u[6]) * tints[int(50 * u[6]) % 5]
        height[seen], colour[:, seen] = surface[seen], worn * tone[..., 0]
    return colour, height


_GROUNDS: dict[str, Callable[[_Place], _Texture]] = {
    "leaf": lambda s: _blade(s, "#2f6a1f", "#6fae3c", "#b9d888", "#8a8a30", s.uniform(0, 0.35)),
    "bark": _bark,
    "sand": _sand,
    "petal": _petal,
    "pebbles": _pebbles,
    "moss": _moss,
    "stone": _stone,
    "autumn": lambda s: _blade(s, "#a1401a", "#dd8a2a", "#f0c26a", "#4d2614", 0.9),
}
BACKGROUNDS = tuple(_GROUNDS)
"""Names of the grounds; the species at the same place of ``SPECIES`` has this one for its own."""


def draw_ground(background: str, rng: np.random.Generator, light: Light, size: int) -> np.ndarray:
    """One picture's ground, lit, tinted and slightly out of focus; (3, size, size)."""
    colour, height = _GROUNDS[background](_Place(rng, size))
    tint = rng.uniform(0.8, 1.05) * rng.uniform(0.94, 1.06, (3, 1, 1))
    blur = size * rng.uniform(0.006, 0.012)
    return ndimage.gaussian_filter(lit(colour * tint, height * size, light), (0, blur, blur), mode="nearest")

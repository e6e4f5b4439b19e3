"""The animal: a beetle seen from above, drawn from random numbers that know nothing of its species.

Frame of the body: lengths in body lengths, x to the animal's right, y from head (-0.5) to tail (+0.5).
"""

import numpy as np

from foveate.data.synthetic.drawing import Chain, Light, lit, mix, pixels, rgb, rods
from foveate.data.synthetic.marks import Species

_BODIES = (
    *(("#211a18", "#51443a"), ("#4a2314", "#8a5230"), ("#123c26", "#459150")),  # black-brown, chestnut, green
    *(("#172240", "#456f9c"), ("#301c3a", "#87507c"), ("#562810", "#a86a34")),  # steel blue, violet, copper
    *(("#32361a", "#7c8440"), ("#5c1814", "#a8452f"), ("#10343a", "#3f8c86")),  # olive, brick red, teal
)
"""Colours of the shell: as it is, and its sheen where it faces the lamp."""
_MARKS = ("#f4e6bc", "#f7cf58", "#f5b257", "#f3efe2", "#efe08c")
_LEGS = ((-0.20, -38, -66, -40), (-0.06, 6, 30, 48), (0.06, 34, 68, 58))
"""y of the hip; directions of thigh, shin and foot in degrees: 0 = sideways, positive = tailwards."""


class Beetle:
    """One animal without its mark: body, colours and pose, and how a mark would sit.

    Whatever is random is drawn from ``rng``, always as many numbers; the rest is as in ``SyntheticConfig``.
    """

    def __init__(
        self, rng: np.random.Generator, light: Light, size: int, scale: tuple[float, float], turn: float
    ) -> None:
        self.light, self.size, self.factor = light, size, 3 if size < 64 else 2  # drawn larger, and reduced
        self.fine = size * self.factor
        self.length, self.turn = rng.uniform(*scale), rng.uniform(-turn, turn)
        self.unit = self.length * self.fine
        middle = 0.5 + max(0.0, 0.5 - 0.56 * self.length) * rng.uniform(-1, 1, 2)
        self.centre = complex(*middle) * self.fine
        self.axis = self.unit * complex(np.exp(1j * np.radians(self.turn)))
        body = (pixels(self.fine) - self.centre) / self.axis
        self.x, self.y = body.real, body.imag
        self.base, self.sheen, self.mark_colour = (
            np.clip(rgb(code) * rng.uniform(0.85, 1.15) + rng.uniform(-0.04, 0.04, (3, 1, 1)), 0.02, 0.98)
            for code in (*_BODIES[rng.integers(len(_BODIES))], _MARKS[rng.integers(len(_MARKS))])
        )
        self.shape = rng.random(7).tolist()  # shoulders, tail, taper, neck, head, bulge, grooves
        self.gloss, self.width = rng.uniform(0, 1), rng.uniform(0.185, 0.23)  # half of the wing cases' width
        self.joints = rng.random((2, 3, 4))  # side, leg, (attachment, thigh, shin, foot)
        self.feelers = rng.random((2, 3))  # side, (direction, bend, length)
        self.mark_fit = rng.random(6).tolist()

    def draw(self, species: Species) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The animal with the mark of ``species``.

        Returns:
            colour (3, n, n), premultiplied by alpha; alpha (n, n), the coverage of body, legs and feelers without any
            shadow; mark (n, n) bool, every pixel that the mark touches.
        """
        shoulders, tail, taper, neck, head, bulge, grooves = self.shape
        x, y, unit, width = self.x, self.y, self.unit, self.width
        self.colour = np.zeros((3, self.fine, self.fine), np.float32)
        self.alpha = np.zeros((self.fine, self.fine), np.float32)
        colours = (0.55 * self.base + 0.2 * self.sheen, 0.55 * self.base, rgb("#080809"))
        for limbs, plain in zip(self._limbs(), colours, strict=True):
            coverage, height = rods(self.fine, limbs)
            self._put(plain, height, coverage)

        powers = (2.2, 2.6)
        inside, height = self._dome((-0.475, -0.29), width * (0.46 + 0.12 * head), powers, 0.12, 0.11)
        self._put(0.75 * self._shell(height, 0.5), height, np.clip(inside + 0.5, 0, 1), self.gloss)

        powers = (2.9 + 1.1 * shoulders, 2.15 + 0.7 * tail)
        inside, height = self._dome((-0.165, 0.5), width, powers, 0.1 * taper - 0.035, 0.17 + 0.06 * bulge)
        mark, border = self._mark(species, inside)
        wave = (9 + 3 * round(3 * grooves)) * np.pi / (2 * width)
        height += 0.05 * grooves / wave * unit * np.cos(wave * x)
        lines = 1 - (0.04 + 0.08 * grooves) * np.clip(2 * np.sin(wave * x), 0, 1)
        seam = 1 - 0.45 * np.exp(-((x * unit / max(0.8, 0.005 * unit)) ** 2))
        rim = 1 - 0.5 * np.clip(1 - inside / (0.022 * unit), 0, 1)
        scutellum = 1 - 0.4 * np.clip((0.035 - np.abs(x) - 0.5 * (y + 0.125)) * unit, 0, 1)
        colour = mix(self._shell(height, 0.75) * (1 - 0.6 * border), 0.96 * self.mark_colour, mark)
        self._put(colour * lines * seam * rim * scutellum, height, np.clip(inside + 0.5, 0, 1), self.gloss)

        width, powers = width * (0.74 + 0.2 * neck), (2.6, 3.6)
        inside, height = self._dome((-0.335, -0.125), width, powers, 0.10 + 0.10 * shoulders, 0.13)
        self.colour *= 1 - 0.55 * np.clip(1 + inside / (0.03 * unit), 0, 1) * self.alpha  # a shadow around it
        rim = 0.92 - 0.45 * np.clip(1 - inside / (0.018 * unit), 0, 1)
        self._put(self._shell(height, 0.8) * rim, height, np.clip(inside + 0.5, 0, 1), self.gloss)

        blocks = (-1, self.size, self.factor, self.size, self.factor)
        layers = (self.colour, self.alpha, np.maximum(mark, border))
        colour, alpha, touched = (values.reshape(blocks).mean((2, 4)) for values in layers)
        return np.clip(colour, 0, 1), alpha[0], touched[0] > 0

    def _put(
        self, colour: np.ndarray, height: np.ndarray, coverage: np.ndarray, gloss: float | None = None
    ) -> None:
        self.colour += (lit(colour, height, self.light, gloss) - self.colour) * coverage
        self.alpha += (1 - self.alpha) * coverage

    def _shell(self, height: np.ndarray, amount: float) -> np.ndarray:
        """Base colour that turns to the sheen where the shell faces the lamp."""
        return mix(self.base, self.sheen, amount * (0.85 * lit(1.0, height, self.light) - 0.2) ** 2)

    def _dome(
        self, span: tuple[float, float], width: float, powers: tuple[float, float], taper: float, bulge: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """An egg along the body axis: signed distance inwards (n, n) and height (n, n), pixels.

        ``powers`` of the superellipse towards head and tail (2 = round, more = blunt); ``taper`` > 0 widens the tail.
        """
        along = (2 * self.y - sum(span)) / (span[1] - span[0])
        across = self.x / (width * (1 + taper * np.clip(along, -1.2, 1.2)))
        power = np.where(along < 0, np.float32(powers[0]), np.float32(powers[1]))
        level = across**2 + np.abs(along) ** power
        inside = (1 - level) / (np.hypot(*np.gradient(level)) + 1e-3)
        return inside, bulge * self.unit * np.sqrt(np.clip(1 - level, 0.02, None))

    def _mark(self, species: Species, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mark and the dark border that fades out around it, (n, n) each in [0, 1].

        Both are zero near the edge of the wing cases and under the neck shield.
        """
        along, across, grow, stretch, phase, waves = self.mark_fit
        scale = (1.38 + 0.12 * grow) * (self.width / 0.2075)
        u = (self.x - 0.012 * (across - 0.5)) / scale
        v = (self.y - 0.1575 - 0.05 * along) / (scale * (0.95 + 0.15 * stretch))
        wobble = 0.0025 * np.sin(48 * u + 6.28 * phase) * np.sin(44 * v + 6.28 * waves)
        edge = (species.mark(u, v) + wobble) * (scale * self.unit)
        keep = np.clip(inside - 0.025 * self.unit, 0, 1) * np.clip((self.y + 0.10) * self.unit, 0, 1)
        return np.clip(0.5 - edge, 0, 1) * keep, np.clip(1.3 - edge / (0.018 * self.unit), 0, 1) * keep

    def _limbs(self) -> tuple[list[Chain], list[Chain], list[Chain]]:
        """The six legs; feelers and jaws; eyes."""
        legs, feelers, eyes = [], [], []
        for side, joints, (toward, bend, reach) in zip((-1, 1), self.joints, self.feelers, strict=True):
            for (hip, *degrees), u in zip(_LEGS, joints, strict=True):
                steps = np.exp(1j * np.radians(np.array(degrees) + 30 * (u[1:] - 0.5)))
                start = complex(0.6 * self.width, hip + 0.03 * (u[0] - 0.5))
                knees = np.cumsum([start, *steps * (0.17 + 0.4 * self.width, 0.16, 0.085)])
                leg = np.insert(knees, 1, 0.4 * knees[0] + 0.6 * knees[1])
                legs.append(self._chain(side, leg, (0.017, 0.025, 0.0168, 0.0105, 0.0075)))
            steps = np.exp(1j * np.radians(-68 + 22 * (toward - 0.5) + (4 + 14 * bend) * np.arange(6)))
            feeler = np.cumsum([0.045 - 0.445j, *steps * (0.032 + 0.016 * reach)])
            feelers.append(self._chain(side, feeler, (0.0095, *[0.0085] * 4, 0.0125, 0.0125)))
            jaw = np.array([0.03 - 0.455j, 0.034 - 0.49j, 0.008 - 0.512j])
            feelers.append(self._chain(side, jaw, (0.014, 0.011, 0.005)))
            eye = self.width * (0.44 + 0.11 * self.shape[4]) - 0.375j
            eyes.append(self._chain(side, np.array([eye, eye]), (0.028, 0.028)))
        return legs, feelers, eyes

    def _chain(self, side: int, points: np.ndarray, radii: tuple[float, ...]) -> Chain:
        """In pixels, of one in the frame of the body."""
        places = self.centre + self.axis * (side * points.real + 1j * points.imag)
        return places.tolist(), [radius * self.unit for radius in radii]

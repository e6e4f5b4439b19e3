"""The animal: a beetle seen from above, drawn from random numbers that know nothing of its species.

``Specimen.sample`` draws body, colours and pose; ``draw_insect`` renders it with the mark of one species. Two
species drawn from one specimen differ in the pixels of their marks and nowhere else.

Frame of the body: lengths in body lengths, x to the animal's right, y from head (-0.5) to tail (+0.5).
"""

from dataclasses import dataclass

import numpy as np

from foveate.data.synthetic.drawing import Light, Rgb, Stroke, mix, reduce_by, rgb, rod_shade, stroke_field
from foveate.data.synthetic.marks import Species

_BODY_COLOURS: tuple[tuple[Rgb, Rgb], ...] = tuple(
    (rgb(base), rgb(sheen))
    for base, sheen in (
        ("#211a18", "#51443a"),  # black-brown
        ("#4a2314", "#8a5230"),  # chestnut
        ("#123c26", "#459150"),  # metallic green
        ("#172240", "#456f9c"),  # steel blue
        ("#301c3a", "#87507c"),  # violet bronze
        ("#562810", "#a86a34"),  # copper
        ("#32361a", "#7c8440"),  # olive
        ("#5c1814", "#a8452f"),  # brick red
        ("#10343a", "#3f8c86"),  # teal
    )
)
_MARK_COLOURS = tuple(rgb(code) for code in ("#f4e6bc", "#f7cf58", "#f5b257", "#f3efe2", "#efe08c"))
_Normal = tuple[np.ndarray, np.ndarray, np.ndarray]
_ELYTRA, _PRONOTUM, _HEAD = (-0.165, 0.5), (-0.335, -0.125), (-0.475, -0.29)


@dataclass(frozen=True)
class Specimen:
    """One animal without its mark: body, colours and pose, plus how its mark would sit."""

    centre: tuple[float, float]
    """x, y in picture sides."""
    length: float
    """Head to tail, in picture sides."""
    turn: float
    """Radians; 0 = head up, positive = clockwise."""
    shape: np.ndarray
    """(8,) uniform numbers: width, shoulders, tail, taper, neck, head, bulge, grooves."""
    base: Rgb
    sheen: Rgb
    mark_colour: Rgb
    gloss: float
    joints: np.ndarray
    """(2, 3, 4) uniform numbers: side, leg, (attachment, thigh, shin, foot)."""
    feelers: np.ndarray
    """(2, 3) uniform numbers: side, (direction, bend, length)."""
    mark_fit: np.ndarray
    """(6,) uniform numbers: shift along, shift across, size, stretch, and two of the wobble of its edge."""

    @classmethod
    def sample(
        cls, rng: np.random.Generator, scale: tuple[float, float] = (0.56, 0.74), turn: float = 20.0
    ) -> "Specimen":
        """Draw one. ``scale``: range of body length in picture sides; ``turn``: largest turn in degrees."""
        length = float(rng.uniform(*scale))
        slack = max(0.0, 0.5 - 0.56 * length)
        centre = 0.5 + slack * rng.uniform(-1, 1, 2)
        base, sheen = _BODY_COLOURS[rng.integers(len(_BODY_COLOURS))]
        return cls(
            centre=(float(centre[0]), float(centre[1])),
            length=length,
            turn=float(np.radians(rng.uniform(-turn, turn))),
            shape=rng.random(8),
            base=_vary(base, rng),
            sheen=_vary(sheen, rng),
            mark_colour=_vary(_MARK_COLOURS[rng.integers(len(_MARK_COLOURS))], rng, 0.03),
            gloss=float(rng.random()),
            joints=rng.random((2, 3, 4)),
            feelers=rng.random((2, 3)),
            mark_fit=rng.random(6),
        )


@dataclass(frozen=True)
class Insect:
    """A rendered animal. ``n`` is the picture's side in pixels."""

    colour: np.ndarray
    """(n, n, 3) float32 in [0, 1], premultiplied by ``alpha``."""
    alpha: np.ndarray
    """(n, n) float32 coverage of body, legs and feelers; no shadow."""
    mask: np.ndarray
    """(n, n) bool, the animal."""
    mark: np.ndarray
    """(n, n) bool, every pixel that the mark touches; part of ``mask``."""


def _vary(colour: Rgb, rng: np.random.Generator, amount: float = 0.045) -> Rgb:
    shifted = np.clip(
        np.array(colour) * rng.uniform(0.85, 1.15) + rng.uniform(-amount, amount, 3), 0.02, 0.98
    )
    return float(shifted[0]), float(shifted[1]), float(shifted[2])


class _Canvas:
    """Colour (premultiplied) and alpha of what has been drawn so far, back to front."""

    def __init__(self, size: int) -> None:
        self.colour = np.zeros((size, size, 3), np.float32)
        self.alpha = np.zeros((size, size), np.float32)

    def put(self, window: tuple[slice, slice], colour: np.ndarray, coverage: np.ndarray) -> None:
        """Lay ``colour`` (h, w, 3) over ``window`` with ``coverage`` (h, w)."""
        self.colour[window] += (colour - self.colour[window]) * coverage[..., None]
        self.alpha[window] += (1 - self.alpha[window]) * coverage


class _Part:
    """One domed part of the body: its window on the canvas, and the body's frame inside that window."""

    def __init__(
        self, specimen: Specimen, light: Light, size: int, span: tuple[float, float], half_width: float
    ) -> None:
        self.specimen, self.span, self.half_width = specimen, span, half_width
        self.unit = specimen.length * size
        cx, cy = specimen.centre[0] * size, specimen.centre[1] * size
        c, s = float(np.cos(specimen.turn)), float(np.sin(specimen.turn))
        corners = [
            (x, y) for x in (-1.2 * half_width, 1.2 * half_width) for y in (span[0] - 0.02, span[1] + 0.02)
        ]
        columns = [cx + (x * c - y * s) * self.unit for x, y in corners]
        rows = [cy + (x * s + y * c) * self.unit for x, y in corners]
        left, top = (int(min(max(0, min(edge)), size)) for edge in (columns, rows))
        right, bottom = (int(min(max(0, max(edge) + 1), size)) for edge in (columns, rows))
        self.window = (slice(top, bottom), slice(left, right))
        dx = (np.arange(left, right, dtype=np.float32) + (0.5 - cx)) / self.unit
        dy = (np.arange(top, bottom, dtype=np.float32)[:, None] + (0.5 - cy)) / self.unit
        self.x, self.y = dx * c + dy * s, dy * c - dx * s
        lx, ly, lz = light.direction
        self.light = (lx * c + ly * s, ly * c - lx * s, lz)
        self.overcast = light.softness

    def dome(self, powers: tuple[float, float], taper: float, bulge: float) -> tuple[np.ndarray, _Normal]:
        """An egg along the body axis: signed distance inwards (h, w) in pixels, and its unit normal.

        ``powers`` of the superellipse towards head and tail (2 = round, more = blunt); ``taper`` > 0 widens
        the tail.
        """
        span, half_width = self.span, self.half_width
        half = (span[1] - span[0]) / 2
        s = (self.y - (span[0] + span[1]) / 2) / half
        width = half_width * (1 + taper * np.clip(s, -1.2, 1.2))
        power = np.where(s < 0, np.float32(powers[0]), np.float32(powers[1]))
        steep = np.abs(s) ** (power - 1)
        across = self.x / width
        level = across * across + steep * np.abs(s)
        slope_x, slope_y = 2 * across / width, power * steep * np.sign(s) / half
        inside = (1 - level) / np.sqrt(slope_x**2 + slope_y**2 + 1e-4) * self.unit
        nx, ny = slope_x * (bulge / 2), slope_y * (bulge / 2)
        nz = np.sqrt(np.clip(1 - level, 0.02, 1))
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        return inside, (nx / length, ny / length, nz / length)

    def shell(self, normal: _Normal, amount: float) -> np.ndarray:
        """Base colour that turns to the sheen where the shell faces the lamp, (h, w, 3)."""
        lx, ly, lz = self.light
        facing = normal[0] * lx + normal[1] * ly + normal[2] * lz
        return mix(self.specimen.base, self.specimen.sheen, amount * (0.15 + 0.85 * facing) ** 2)

    def lit(self, albedo: np.ndarray, normal: _Normal) -> np.ndarray:
        """Light on a glossy shell: lamp, sky, rim and two highlights; albedo and result (h, w, 3)."""
        nx, ny, nz = normal
        lx, ly, lz = self.light
        facing = nx * lx + ny * ly + nz * lz
        diffuse = (
            0.30 + 0.16 * nz + (0.92 - 0.3 * self.overcast) * np.clip(facing, 0, 1) + 0.18 * self.overcast
        )
        tall = np.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)
        half = np.clip((nx * lx + ny * ly + nz * (lz + 1)) / tall, 0, 1)
        gloss = self.specimen.gloss
        squared = half**8
        broad = squared * (0.10 + 0.10 * gloss)
        tight = squared**6 * (0.25 + 0.55 * gloss) * (1 - 0.6 * self.overcast)
        rim = (1 - nz) ** 3 * np.clip(0.6 - ny, 0, 1) * 0.16
        return albedo * diffuse[..., None] + (broad + tight + rim)[..., None]


def _limbs(specimen: Specimen, size: int) -> tuple[list[Stroke], list[Stroke]]:
    """Strokes of the six legs, and of the feelers and jaws, in pixels."""
    unit = specimen.length * size
    c, s = np.cos(specimen.turn), np.sin(specimen.turn)
    cx, cy = specimen.centre[0] * size, specimen.centre[1] * size

    def place(x: float, y: float) -> tuple[float, float]:
        return float(cx + (x * c - y * s) * unit), float(cy + (x * s + y * c) * unit)

    def chain(points: list[tuple[float, float]], radii: list[float]) -> list[Stroke]:
        spots = [place(*point) for point in points]
        return [
            Stroke(spots[i], spots[i + 1], (radii[i] * unit, radii[i + 1] * unit))
            for i in range(len(spots) - 1)
        ]

    legs, feelers = [], []
    width = _half_width(specimen)
    for side, sign in enumerate((-1, 1)):
        # (y of the hip, directions of thigh, shin and foot in degrees: 0 = sideways, positive = tailwards)
        for leg, (hip, thigh, shin, foot) in enumerate(
            ((-0.20, -38, -66, -40), (-0.06, 6, 30, 48), (0.06, 34, 68, 58))
        ):
            at, u1, u2, u3 = specimen.joints[side, leg]
            x, y = sign * 0.6 * width, hip + 0.03 * (at - 0.5)
            points = [(x, y)]
            spans = ((0.17 + 0.4 * width, thigh, u1), (0.16, shin, u2), (0.085, foot, u3))
            for distance, degrees, jitter in spans:
                angle = np.radians(degrees + 30 * (jitter - 0.5))
                x, y = x + sign * distance * np.cos(angle), y + distance * np.sin(angle)
                points.append((x, y))
            belly = (points[0][0] * 0.4 + points[1][0] * 0.6, points[0][1] * 0.4 + points[1][1] * 0.6)
            legs += chain([points[0], belly, points[1]], [0.017, 0.025, 0.017])
            legs += chain(points[1:3], [0.0165, 0.0120])
            legs += chain(points[2:], [0.0095, 0.0075])
        toward, bend, reach = specimen.feelers[side]
        angle = np.radians(-68 + 22 * (toward - 0.5))
        x, y = sign * 0.045, -0.445
        points, radii = [(x, y)], [0.0095]
        for segment in range(6):
            step = 0.032 + 0.016 * reach
            x, y = x + sign * step * np.cos(angle), y + step * np.sin(angle)
            angle += np.radians(4 + 14 * bend)
            points.append((x, y))
            radii.append(0.0085 if segment < 4 else 0.0125)
        feelers += chain(points, radii)
        feelers += chain(
            [(sign * 0.03, -0.455), (sign * 0.034, -0.49), (sign * 0.008, -0.512)], [0.014, 0.011, 0.005]
        )
    return legs, feelers


def _half_width(specimen: Specimen) -> float:
    return 0.185 + 0.045 * float(specimen.shape[0])


def draw_insect(species: Species, specimen: Specimen, light: Light, size: int) -> Insect:
    """Render one animal on a transparent square of ``size`` pixels, drawn larger and reduced."""
    factor = 3 if size < 64 else 2
    fine = size * factor
    canvas = _Canvas(fine)
    _draw_limbs(canvas, specimen, light, fine)
    mark = _draw_body(canvas, species, specimen, light, fine)
    alpha = reduce_by(canvas.alpha, factor)
    return Insect(
        colour=np.clip(reduce_by(canvas.colour, factor), 0, 1),
        alpha=alpha,
        mask=alpha > 0.34,
        mark=reduce_by(mark, factor) > 0,
    )


def _draw_limbs(canvas: _Canvas, specimen: Specimen, light: Light, fine: int) -> None:
    base, sheen = np.array(specimen.base, np.float32), np.array(specimen.sheen, np.float32)
    for strokes, colour in zip(_limbs(specimen, fine), (base * 0.55 + sheen * 0.2, base * 0.55), strict=True):
        window, coverage, nx, ny = stroke_field(strokes, fine)
        canvas.put(window, colour * rod_shade(nx, ny, light)[..., None], coverage)


def _draw_body(canvas: _Canvas, species: Species, specimen: Specimen, light: Light, fine: int) -> np.ndarray:
    """Head, wing cases with the mark, neck shield. Returns the mark's coverage, (fine, fine) float32."""
    width = _half_width(specimen)
    _draw_head(canvas, _Part(specimen, light, fine, _HEAD, width * (0.46 + 0.12 * specimen.shape[5])))
    elytra = _Part(specimen, light, fine, _ELYTRA, width)
    mark = np.zeros((fine, fine), np.float32)
    mark[elytra.window] = _draw_elytra(canvas, elytra, species)
    _draw_pronotum(canvas, _Part(specimen, light, fine, _PRONOTUM, width * (0.74 + 0.2 * specimen.shape[4])))
    return mark


def _draw_head(canvas: _Canvas, part: _Part) -> None:
    inside, normal = part.dome((2.2, 2.6), 0.12, 0.11)
    from_eye = np.sqrt((np.abs(part.x) - 0.92 * part.half_width) ** 2 + (part.y + 0.375) ** 2)
    eye = np.clip(0.5 - (from_eye - 0.027) * part.unit, 0, 1)
    albedo = mix(part.shell(normal, 0.5) * 0.75, (0.03, 0.03, 0.035), eye)
    canvas.put(part.window, part.lit(albedo, normal), np.maximum(np.clip(inside + 0.5, 0, 1), eye))


def _draw_elytra(canvas: _Canvas, part: _Part, species: Species) -> np.ndarray:
    """The wing cases with grooves, seam, scutellum and mark; returns the mark's coverage in the window."""
    x, y, unit, specimen = part.x, part.y, part.unit, part.specimen
    _, shoulders, tail, taper, _, _, bulge, grooves = specimen.shape
    inside, (nx, ny, nz) = part.dome(
        (2.9 + 1.1 * shoulders, 2.15 + 0.7 * tail), 0.10 * (taper - 0.35), 0.17 + 0.06 * bulge
    )
    groove = np.sin((9 + 3 * round(3 * grooves)) * np.pi * x / (2 * part.half_width))
    mark, border = _mark_coverage(species, specimen, x, y, inside, unit)
    plain = part.shell((nx, ny, nz), 0.75) * (1 - 0.6 * border)[..., None]
    albedo = mix(plain, np.array(specimen.mark_colour, np.float32) * 0.84, mark)
    seam = np.exp(-((x * (unit / max(0.8, 0.005 * unit))) ** 2))
    scutellum = np.clip((0.035 - np.abs(x) - 0.5 * (y + 0.125)) * unit, 0, 1) * (y < -0.06)
    rim = np.clip(1 - inside / (0.022 * unit), 0, 1)
    lines = 1 - (0.04 + 0.08 * grooves) * np.clip(2 * groove, 0, 1)
    albedo *= (lines * (1 - 0.45 * seam) * (1 - 0.5 * rim) * (1 - 0.4 * scutellum))[..., None]
    lit = part.lit(albedo, (nx + 0.05 * np.float32(grooves) * groove, ny, nz))
    canvas.put(part.window, lit, np.clip(inside + 0.5, 0, 1))
    return np.maximum(mark, border)


def _draw_pronotum(canvas: _Canvas, part: _Part) -> None:
    """The neck shield, with the shadow it casts on what lies around and below it."""
    inside, normal = part.dome((2.6, 3.6), 0.10 + 0.10 * part.specimen.shape[1], 0.13)
    shadow = 0.55 * np.clip(1 + inside / (0.03 * part.unit), 0, 1) * canvas.alpha[part.window]
    canvas.colour[part.window] *= (1 - shadow)[..., None]
    rim = np.clip(1 - inside / (0.018 * part.unit), 0, 1)
    albedo = part.shell(normal, 0.8) * (0.92 - 0.45 * rim)[..., None]
    canvas.put(part.window, part.lit(albedo, normal), np.clip(inside + 0.5, 0, 1))


def _mark_coverage(
    species: Species, specimen: Specimen, x: np.ndarray, y: np.ndarray, inside: np.ndarray, unit: float
) -> tuple[np.ndarray, np.ndarray]:
    """The mark and the dark border that fades out around it, (h, w) each in [0, 1].

    Both are zero near the edge of the wing cases and under the neck shield.
    """
    along, across, grow, stretch, phase, waves = specimen.mark_fit
    scale = (1.18 + 0.22 * grow) * (_half_width(specimen) / 0.2075)
    middle = sum(_ELYTRA) / 2 + 0.015 + 0.05 * (along - 0.5)
    u = (x - 0.012 * (across - 0.5)) / scale
    v = (y - middle) / (scale * (0.95 + 0.15 * stretch))
    wobble = 0.0025 * np.sin(48 * u + 6.28 * phase) * np.sin(44 * v + 6.28 * waves)
    edge = (species.mark(u, v) + wobble) * (scale * unit)
    keep = np.clip(inside - 0.025 * unit, 0, 1) * np.clip((y + 0.10) * unit, 0, 1)
    border = np.clip(1.3 - edge / (0.018 * unit), 0, 1)
    return np.clip(0.5 - edge, 0, 1) * keep, border * keep

"""What all drawings share: colours by role, matplotlib's style, and the ways out: inline SVG, SVG file, PNG file.

On a page the colours follow the style sheet, light or dark: matplotlib draws with stand-ins, and each is replaced by
a CSS variable. In a file they are those of a light page.
"""

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from foveate.core.files import csv_text, write_bytes

CsvTable = tuple[Sequence[str], Iterable[Sequence[Any]]]
NARROW_PERCENT = "\u202f%"


@dataclass(frozen=True)
class Colours:
    """One colour for each role."""

    ink: str
    muted: str
    grid: str
    band: str
    paper: str
    good: str
    miss: str
    series: tuple[str, ...]
    """Lines of one run."""
    arms: tuple[str, ...]
    """Arms of a study: told apart with any colour vision (Okabe and Ito 2008); the baseline is drawn in ink."""


PAGE = Colours(
    "#010101", "#010102", "#010103", "#010104", "#010105", "#010106", "#010107",
    series=tuple(f"#01011{i}" for i in range(1, 7)),
    arms=tuple(f"#01012{i}" for i in range(1, 6)),
)  # fmt: skip
"""Stand-ins for the page's CSS variables."""
PRINT = Colours(
    "#18222d", "#56626f", "#dbe1e7", "#eef1f5", "#ffffff", "#1b7040", "#b8500a",
    series=("#0b6477", "#c4580c", "#6d4fa3", "#b5357a", "#4d7c0f", "#64748b"),
    arms=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"),
)  # fmt: skip
"""Those of the style sheet's light page."""
_VARIABLES = {getattr(PAGE, role): f"--{role}" for role in ("ink", "muted", "band", "paper", "good", "miss")}
_VARIABLES |= {PAGE.grid: "--line"} | {color: f"--series-{i}" for i, color in enumerate(PAGE.series, start=1)}
_VARIABLES |= {color: f"--arm-{i}" for i, color in enumerate(PAGE.arms, start=1)}


_STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "foveate", "font.size": 10, "text.parse_math": False,
    "axes.facecolor": "none", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "axes.unicode_minus": True, "grid.linewidth": 0.7, "figure.facecolor": "none",
    "legend.frameon": False, "legend.fontsize": 9,
}  # fmt: skip


def whole_percent() -> PercentFormatter:
    """Ticks of an axis of shares; an axis keeps its own formatter."""
    return PercentFormatter(1, decimals=0, symbol=NARROW_PERCENT)


@contextmanager
def drawing(colours: Colours = PAGE) -> Iterator[None]:
    """Matplotlib's settings while a figure is made AND written."""
    grid = ("axes.edgecolor", "grid.color", "xtick.color", "ytick.color")
    muted = ("axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor")
    settings: dict[Any, Any] = {
        **_STYLE, **dict.fromkeys(grid, colours.grid), **dict.fromkeys(muted, colours.muted), "text.color": colours.ink
    }  # fmt: skip
    with mpl.rc_context(settings):
        yield


def svg(
    figure: Figure,
    *,
    name: str,
    label: str,
    data: CsvTable | None = None,
    picks: Mapping[str, tuple[Mapping[str, Any], str]] | None = None,
) -> Markup:
    """Inline SVG of ``figure``: ids begin with ``name``, colours are CSS variables, ``label`` is read out.

    Args:
        data: (header, rows) of what is drawn, to be saved as CSV.
        picks: {gid of an artist: (which pictures it stands for, as gallery.js takes it; the same in words)}.
    """
    text = _svg_text(figure)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    for gid, (query, words) in (picks or {}).items():
        more = f' data-pick="{escape(json.dumps(query))}" role="button" aria-label="{escape(words)}"'
        text = text.replace(f'id="{name}-{gid}"', f'id="{name}-{gid}"{more}')
    # The view box alone decides the shape; the page decides the width.
    head, body = text.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    role = "group" if picks else "img"
    more = f' data-csv="{escape(csv_text(*data))}"' if data else ""
    return Markup(f'{head} role="{role}" aria-label="{escape(label)}" data-name="{name}"{more}>{body}')


def save(figure: Figure, path: Path) -> None:
    """Write ``figure``, drawn with PRINT, as ``path``'s ending says: .svg, .pdf, or .png with 200 dots an inch."""
    figure.set_facecolor(PRINT.paper)
    if path.suffix == ".svg":
        write_bytes(path, _svg_text(figure).encode())
        return
    buffer = io.BytesIO()
    if path.suffix == ".pdf":
        FigureCanvasPdf(figure).print_pdf(
            buffer, metadata={"CreationDate": None, "Creator": None, "Producer": None}
        )
        write_bytes(path, buffer.getvalue())
        return
    figure.set_dpi(200)
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())


def _svg_text(figure: Figure) -> str:
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return buffer.getvalue()

"""The confusion matrix and small intervals, written as SVG by hand: exact places, tooltips, page colours."""

from collections.abc import Sequence

from markupsafe import Markup, escape

FAINTEST = 0.10
LONGEST = 26
_COUNTS_UP_TO = 40
_PAGE = 1060
_CELLS = ((4, 64), (8, 52), (12, 42), (20, 32), (_COUNTS_UP_TO, 22))


def shorten(text: str, length: int = LONGEST) -> str:
    """The text, cut with an ellipsis when longer than ``length``."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def confusion_svg(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """Rows = true class, columns = predicted. confusion (C, C) counts.

    Colour is the share of the row (right: first colour; wrong: second), numbers are counts. Beyond 40 classes
    the numbers are left to the tooltips.
    """
    n = len(names)
    cell = next((side for most, side in _CELLS if n <= most), max(5, 840 // n))
    label_font = min(13, max(4, cell * 0.56))
    labels = [shorten(name) for name in names]
    longest = max(len(label) for label in labels)
    left = longest * label_font * 0.56 + 30
    # The last slanted label reaches beyond the right edge.
    right = max(44, len(labels[-1]) * label_font * 0.40)
    if n <= _COUNTS_UP_TO:  # fit the page where that leaves the numbers readable
        cell = max(16, min(cell, int((_PAGE - left - right) / n)))
    font = min(15, max(4, cell * 0.42))
    top = longest * label_font * 0.58 * 0.72 + 34
    width = left + n * cell + right
    height = top + n * cell + 8
    total = sum(map(sum, confusion))
    hits = sum(confusion[i][i] for i in range(n))
    parts = [
        f'<svg class="matrix" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="Confusion matrix of {n} classes: {hits} of {total} pictures on the diagonal">',
        f'<text class="axis" x="{left + n * cell / 2:.1f}" y="12" text-anchor="middle">predicted</text>',
        f'<text class="axis" transform="translate(12 {top + n * cell / 2:.1f}) rotate(-90)" '
        'text-anchor="middle">true</text>',
        f'<text class="axis" x="{left + n * cell + 8:.1f}" y="{top - 6:.1f}">n</text>' if cell >= 12 else "",
    ]
    for i in range(n):
        middle = (i + 0.5) * cell
        parts.append(
            f'<text x="{left - 7:.1f}" y="{top + middle:.1f}" font-size="{label_font:.1f}" text-anchor="end" '
            f'dominant-baseline="central">{escape(labels[i])}<title>{escape(names[i])}</title></text>'
            f'<text transform="translate({left + middle:.1f} {top - 7:.1f}) rotate(-45)" '
            f'font-size="{label_font:.1f}">{escape(labels[i])}<title>{escape(names[i])}</title></text>'
        )
        row = sum(confusion[i])
        if cell >= 12:
            parts.append(
                f'<text class="axis" x="{left + n * cell + 8:.1f}" y="{top + middle:.1f}" '
                f'font-size="{font:.1f}" dominant-baseline="central">{row}</text>'
            )
        for j in range(n):
            count = confusion[i][j]
            if not count:
                continue
            share = count / row
            x, y = left + j * cell, top + i * cell
            opacity = FAINTEST + (1 - FAINTEST) * share
            title = f"{names[i]} taken for {names[j]}" if i != j else f"{names[i]}, right"
            parts.append(
                f'<g><rect x="{x:.1f}" y="{y:.1f}" width="{cell}" height="{cell}" '
                f'class="{"hit" if i == j else "miss"}" fill-opacity="{opacity:.3f}"/>'
            )
            if n <= _COUNTS_UP_TO:
                parts.append(
                    f'<text x="{x + cell / 2:.1f}" y="{y + cell / 2:.1f}" font-size="{font:.1f}" '
                    f'text-anchor="middle" dominant-baseline="central"'
                    f"{' class=' + chr(34) + 'on' + chr(34) if opacity > 0.55 else ''}>{count}</text>"
                )
            parts.append(f"<title>{escape(title)}: {count} of {row} ({share:.0%})</title></g>")
    parts.append(_grid(left, top, cell, n))
    parts.append("</svg>")
    return Markup("".join(parts))


def _grid(left: float, top: float, cell: float, n: int) -> str:
    if cell < 12:
        return f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="{n * cell}" height="{n * cell}"/>'
    lines = "".join(
        f"M{left + i * cell:.1f} {top:.1f}v{n * cell}M{left:.1f} {top + i * cell:.1f}h{n * cell}"
        for i in range(n + 1)
    )
    return f'<path class="frame" d="{lines}"/>'


def interval_svg(value: float | None, low: float | None, high: float | None, width: int = 110) -> Markup:
    """A value in [0, 1] with its interval on a line from 0 to 1; the numbers stand beside it in the table."""
    if value is None or low is None or high is None:
        return Markup("")
    return Markup(
        f'<svg class="interval" viewBox="0 0 {width} 14" width="{width}" height="14" aria-hidden="true">'
        f'<line class="rail" x1="0" x2="{width}" y1="7" y2="7"/>'
        f'<line class="span" x1="{low * width:.1f}" x2="{high * width:.1f}" y1="7" y2="7"/>'
        f'<circle cx="{min(max(value * width, 3.5), width - 3.5):.1f}" cy="7" r="3.5"/></svg>'
    )


def scale_svg(
    value: float, low: float, high: float, marks: Sequence[tuple[str, float]], *, label: str, width: int = 560
) -> Markup:
    """The headline: accuracy and interval on a 0 to 100 % scale, with chance levels marked by name."""
    margin, y = 14, 38
    span = width - 2 * margin

    def at(share: float) -> float:
        return margin + share * span

    parts = [
        f'<svg class="scale" viewBox="0 0 {width} 86" role="img" aria-label="{escape(label)}">',
        f'<line class="rail" x1="{margin}" x2="{width - margin}" y1="{y}" y2="{y}"/>',
    ]
    for tick in range(0, 101, 25):
        x = at(tick / 100)
        anchor = "start" if tick == 0 else "end" if tick == 100 else "middle"
        at_x = margin - 4 if tick == 0 else width - margin + 4 if tick == 100 else x
        parts.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 4}" y2="{y + 4}"/>')
        parts.append(f'<text class="axis" x="{at_x:.1f}" y="{y + 20}" text-anchor="{anchor}">{tick} %</text>')
    parts.append(
        f'<rect class="span" x="{at(low):.1f}" y="{y - 8}" '
        f'width="{max(at(high) - at(low), 2):.1f}" height="16" rx="3"/>'
        f'<circle class="point" cx="{at(value):.1f}" cy="{y}" r="6"/>'
    )
    last = -1.0
    for name, share in sorted(marks, key=lambda mark: mark[1]):
        x = at(share)
        # Two chance levels close together: the second name goes below the scale.
        below = last >= 0 and x - last < 120
        text_y = y + 40 if below else y - 18
        flip = x > width * 0.7
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 14}" y2="{y + (30 if below else 10)}"/>'
            f'<text class="mark-label" x="{x + (-4 if flip else 0):.1f}" y="{text_y}" '
            f'text-anchor="{"end" if flip else "start"}">{escape(name)}</text>'
        )
        last = x
    parts.append("</svg>")
    return Markup("".join(parts))

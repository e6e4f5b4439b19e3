"""A table as plain values, and its four ways to be written: CSV, Markdown, LaTeX, HTML."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from foveate.core.files import csv_text

DASH = "–"
_MARKDOWN = re.compile(r"([\\`*_\[\]|$~])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "±": r"$\pm$", "×": r"$\times$",
    "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "→": r"$\rightarrow$", "·": r"$\cdot$",
    "–": "--", "—": "---", "…": r"\dots{}", "°": r"$^\circ$", "\u00a0": "~", "\u202f": r"\,",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "Δ": r"$\Delta$", "ε": r"$\epsilon$",
    "λ": r"$\lambda$", "μ": r"$\mu$", "σ": r"$\sigma$", "τ": r"$\tau$",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    name: str
    group: str = ""
    """Stands above neighbouring columns of the same group."""
    number: bool = True
    """Aligned to the right; a hyphen is a minus."""


@dataclass(frozen=True)
class Table:
    """Cells are finished text; None is a value that is not there."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | None, ...], ...]
    notes: tuple[str, ...] = ()
    sections: bool = False
    """Rows with the same first cell belong together: it is written once."""
    classes: tuple[str, ...] = ()
    """One for each row, for the HTML's style sheet."""

    @property
    def grouped(self) -> bool:
        return any(column.group for column in self.columns)


def to_csv(table: Table) -> str:
    """One header row, "group name" where columns are grouped; what is missing is empty."""
    header = [f"{c.group} {c.name}".strip() for c in table.columns]
    return csv_text(header, ([cell or "" for cell in row] for row in table.rows))


def to_markdown(table: Table) -> str:
    """A GitHub table; group names stand in the header, the columns' own in the first row, as in the report."""
    names = [markdown_text(c.name) for c in table.columns]
    if table.grouped:
        groups = [markdown_text(name) for name in _once(table.columns)]
        head, body = groups, [names]
    else:
        head, body = names, []
    for section in _sections(table):
        for number, row in enumerate(section):
            cells = [_markdown_cell(cell, c) for cell, c in zip(row, table.columns, strict=True)]
            if table.sections and number:
                cells[0] = ""
            body.append(cells)
    rules = ["---:" if c.number else "---" for c in table.columns]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, rules, *body)]
    notes = "".join(f"\n{markdown_text(note)}\n" for note in table.notes)
    return f"**{markdown_text(table.title)}**\n\n" + "\n".join(lines) + "\n" + notes


def to_latex(table: Table) -> str:
    """A floating table of the booktabs package."""
    align = "".join("r" if c.number else "l" for c in table.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(table.title)}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
    ]
    if table.grouped:
        cells, rules = [], []
        for first, last, name in _spans(table.columns):
            cells.append(rf"\multicolumn{{{last - first + 1}}}{{c}}{{{latex_text(name)}}}" if name else "")
            rules.extend([rf"\cmidrule(lr){{{first + 1}-{last + 1}}}"] if name else [])
        lines += [" & ".join(cells) + r" \\", " ".join(rules)]
    lines += [" & ".join(latex_text(c.name) for c in table.columns) + r" \\", r"\midrule"]
    for number, section in enumerate(_sections(table)):
        if table.sections and number:
            lines.append(r"\addlinespace")
        for i, row in enumerate(section):
            cells = [_latex_cell(cell, c) for cell, c in zip(row, table.columns, strict=True)]
            if table.sections and i:
                cells[0] = ""
            # A row that begins with "[" would be read as an option of the line end before it.
            lines.append(("{}" if cells[0].startswith(("[", "*")) else "") + " & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip{{\footnotesize {latex_text(note)}}}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def to_html(table: Table) -> str:
    """The ``<table>`` element, its notes as paragraphs below; classes are those of the reports' style sheet."""
    parts = [f"<table>\n<caption>{escape(table.title)}</caption>\n<thead>\n"]
    if table.grouped:
        heads = (
            f'<th scope="colgroup" colspan="{last - first + 1}" class="group">{escape(name)}</th>'
            if name
            else "<td></td>" * (last - first + 1)
            for first, last, name in _spans(table.columns)
        )
        parts.append(f"<tr>{''.join(heads)}</tr>\n")
    names = (f'<th scope="col"{_number(c)}>{escape(c.name)}</th>' for c in table.columns)
    parts.append(f"<tr>{''.join(names)}</tr>\n</thead>\n<tbody>\n")
    classes = iter(table.classes or [""] * len(table.rows))
    for section in _sections(table):
        for i, row in enumerate(section):
            kind = next(classes)
            parts.append(f'<tr class="{escape(kind)}">' if kind else "<tr>")
            for j, (cell, c) in enumerate(zip(row, table.columns, strict=True)):
                if j == 0 and table.sections and i:
                    continue
                text = escape(_signed(cell, c))
                if j == 0:
                    scope = (
                        f'scope="rowgroup" rowspan="{len(section)}"'
                        if table.sections and len(section) > 1
                        else 'scope="row"'
                    )
                    parts.append(f"<th {scope}>{text}</th>")
                else:
                    parts.append(f"<td{_number(c)}>{text}</td>")
            parts.append("</tr>\n")
    parts.append("</tbody>\n</table>\n")
    parts.extend(f'<p class="note">{escape(note)}</p>\n' for note in table.notes)
    return "".join(parts)


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = _line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", text)


def latex_text(text: str) -> str:
    """Text that LaTeX shows as it is, on one line."""
    return "".join(_LATEX.get(character, character) for character in _line(text))


def _line(text: str) -> str:
    printable = "".join(c if c.isprintable() or c in "\u00a0\u202f" else " " for c in text)
    return re.sub(" +", " ", printable).strip(" ")


def _signed(cell: str | None, column: Column) -> str:
    if cell is None:
        return DASH
    return cell.replace("-", "−") if column.number else cell


def _markdown_cell(cell: str | None, column: Column) -> str:
    return markdown_text(_signed(cell, column))


def _latex_cell(cell: str | None, column: Column) -> str:
    return latex_text(_signed(cell, column))


def _number(column: Column) -> str:
    return ' class="n"' if column.number else ""


def _sections(table: Table) -> Iterable[Sequence[tuple[str | None, ...]]]:
    if not table.sections:
        return [table.rows]
    return [tuple(rows) for _, rows in groupby(table.rows, key=lambda row: row[0])]


def _spans(columns: Sequence[Column]) -> list[tuple[int, int, str]]:
    """(first, last, group) of neighbouring columns; columns without a group stand alone."""
    spans: list[tuple[int, int, str]] = []
    for i, column in enumerate(columns):
        if spans and column.group and spans[-1][2] == column.group:
            spans[-1] = (spans[-1][0], i, column.group)
        else:
            spans.append((i, i, column.group))
    return spans


def _once(columns: Sequence[Column]) -> list[str]:
    names = [""] * len(columns)
    for first, _, name in _spans(columns):
        names[first] = name
    return names

"""What of a study goes into a paper: one figure, its caption, sentences for Methods and Results, the citation."""

from pathlib import Path
from typing import Any

import foveate
from foveate.core.files import write_text
from foveate.core.reading import read_yaml
from foveate.reporting.page import templates
from foveate.reporting.study_drawings import primary_drawing
from foveate.studies import tables
from foveate.studies.paper_words import caption, findings, methods
from foveate.studies.tables import Measured


def write_paper(folder: Path, measured: Measured, *, named: bool) -> list[Path]:
    """Write figures/primary.svg, .png and .pdf and paper.md; return the figure as PDF and the page.

    Args:
        named: the study's file names its primary metric.
    """
    drawing = primary_drawing(measured)
    figures = drawing.write(folder / "figures", ("svg", "png", "pdf")) if drawing else []
    page = templates().get_template("paper.md.j2")
    title = next((results.name for results, _ in measured.values()), "")
    text = page.render(title=title, text=_text(measured, named) if drawing else None, citation=citation())
    write_text(folder / "paper.md", text)
    return [*figures[-1:], folder / "paper.md"]


def _text(measured: Measured, named: bool) -> dict[str, Any]:
    blocks = [
        (name, results, analysis, metric, tables.primary_arms(results, analysis, metric))
        for name, results, analysis in tables.primary_blocks(measured)
        if (metric := tables.primary_metric(results, analysis))
    ]
    _, *first = blocks[0]
    return {
        "caption": caption(*first),
        "methods": methods(*first, named),
        "found": [(name, findings(*block)) for name, *block in blocks],
    }


def citation() -> str:
    """How to cite Foveate, from its CITATION.cff."""
    inside = Path(foveate.__file__).parent / "CITATION.cff"
    cff = read_yaml(inside if inside.is_file() else inside.parents[2] / "CITATION.cff")
    authors = ", ".join(author["name"] for author in cff["authors"])
    year = str(cff["date-released"])[:4]
    return (
        f"{authors} ({year}). {cff['title']} (version {cff['version']}) Computer software, {cff['license']}."
    )

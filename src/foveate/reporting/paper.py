"""What of a study goes into a paper: one figure, its caption, sentences for Methods and Results, the citation."""

from pathlib import Path
from typing import Any

from foveate.core.files import write_text
from foveate.core.reading import read_yaml
from foveate.reporting.page import templates
from foveate.reporting.study_drawings import primary_drawing
from foveate.studies import tables
from foveate.studies.paper_words import caption, methods, primary_findings
from foveate.studies.tables import Measured


def write_paper(folder: Path, measured: Measured, *, named: bool, setup: str = "") -> list[Path]:
    """Write figures/primary.svg, .png and .pdf and paper.md; return the figure as PDF and the page.

    Args:
        named: the study's file names its primary metric.
        setup: networks, pictures and masks, for Methods.
    """
    drawing = primary_drawing(measured)
    kinds = ("svg", "png", "pdf")
    figures = drawing.write(folder / "figures", kinds) if drawing else []
    for kind in kinds if drawing is None else ():  # of cells that are no longer there
        (folder / "figures" / f"primary.{kind}").unlink(missing_ok=True)
    page = templates().get_template("paper.md.j2")
    title = next((results.name for results, _ in measured.values()), "")
    text = page.render(
        title=title, text=_text(measured, named, setup) if drawing else None, citation=citation()
    )
    write_text(folder / "paper.md", f"{text.rstrip()}\n")
    return [*figures[-1:], folder / "paper.md"]


def _text(measured: Measured, named: bool, setup: str) -> dict[str, Any]:
    results, analysis, metric = next(
        (*block[1:], metric)
        for block in tables.primary_blocks(measured)
        if (metric := tables.primary_metric(*block[1:]))
    )
    arms = tables.primary_arms(results, analysis, metric)
    return {
        "caption": caption(results, analysis, metric, arms),
        "methods": f"{setup} {methods(results, analysis, metric, arms, named)}".strip(),
        "found": primary_findings(measured),
    }


def citation() -> str:
    """How to cite Foveate, from its CITATION.cff."""
    package = Path(__file__).parents[1]
    places = (package / "CITATION.cff", package.parents[1] / "CITATION.cff")  # installed; a checkout
    cff = read_yaml(next((place for place in places if place.is_file()), places[0]))
    authors = ", ".join(author["name"] for author in cff["authors"])
    year = str(cff["date-released"])[:4]
    return (
        f"{authors} ({year}). {cff['title']} (version {cff['version']}). Computer software, {cff['license']}."
    )

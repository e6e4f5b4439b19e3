"""The recorded results: their scripts fit the program, and every figure that README and docs quote is recorded."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "results").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\((?:\.\./)?(results/[\w/-]+\.md)\)")
FIGURE = re.compile(
    r"(?<![\w.])[-−+]?\d*\.?\d+(?:(?= %| points| points)|(?<=\.\d)|(?<=\.\d\d)|(?<=\.\d\d\d))(?![\w.]*\d)"
)
"""A share, points, or a number with decimals: what is measured, not counted."""


def quotes() -> list[tuple[str, str, list[str]]]:
    """(page, figure, recorded pages) of every figure in a paragraph that links to recorded pages."""
    found = []
    for page in PAGES:
        for block in re.split(r"\n\s*\n|\n(?=- |\d\. |\| )", page.read_text(encoding="utf-8")):
            if links := LINK.findall(block):
                words = re.sub(r"`[^`]*`", "", LINK.sub("", block))
                found += [(page.name, figure, links) for figure in FIGURE.findall(words)]
    return found


def value(figure: str) -> str:
    """Without its sign, and .87 as 0.87."""
    return re.sub(r"^\.", "0.", figure.lstrip("-−+"))


@pytest.mark.parametrize(("page", "figure", "links"), quotes())
def test_a_quoted_figure_stands_in_the_recorded_page(page: str, figure: str, links: list[str]) -> None:
    recorded = " ".join((ROOT / link).read_text(encoding="utf-8") for link in links)
    assert value(figure) in {value(found) for found in re.findall(r"[-−+]?\d*\.?\d+", recorded)}, (
        f"{page} quotes {figure}, which {' and '.join(links)} do not have."
    )


def test_figures_are_found() -> None:
    assert FIGURE.findall("by 9.3 points (0.7 to 18.0), 79 % of 20 pictures, .87, 2 to 3") == [
        "9.3",
        "0.7",
        "18.0",
        "79",
        ".87",
    ]
    assert len(quotes()) > 10


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_imports_what_there_is(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("foveate"):
            module = importlib.import_module(node.module)
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")

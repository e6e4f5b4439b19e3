"""What README and docs say must exist: commands, options, names, links, pictures, folders."""

import ast
import importlib
import re
import runpy
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import typer
import yaml

from foveate.cli.main import app
from foveate.core.config import parse
from foveate.core.version import VERSION
from foveate.experiment import Experiment
from foveate.experiment.specification import assign, merge
from foveate.recipes import finetune
from foveate.recipes.guides import with_guides
from foveate.studies.search import Search
from foveate.studies.search_target import target_of
from foveate.studies.specification import Study

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXTENDING = "extending.md"
"""Its commands take what its examples add (``test_extending.py``)."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(foveate [^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def command_lines() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        lines = [line for body in blocks(page, "") for line in body.splitlines()]
        lines = [line for line in lines if line.startswith("foveate ")]
        lines += INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
        found += [(page.name, line) for line in lines]
    return found


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_command_parses(page: str, line: str) -> None:
    name, *words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    if words and hasattr(command, "commands"):  # a group: foveate study run
        name, *words = words
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
    if "--out" in words:  # a whole command, and not only mentioned in a sentence
        command.make_context(name, list(words))


def test_there_are_commands_and_every_command_has_an_example() -> None:
    named = {shlex.split(line, comments=True)[1] for page, line in command_lines() if page == "README.md"}
    assert named == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "line", sorted({line for page, line in command_lines() if "--set" in line and page != EXTENDING})
)
def test_settings_of_commands_exist(line: str) -> None:
    values = finetune(weights="none", guide="backgrounds").to_dict()
    values["data"]["split"]["file"] = "folds.csv"
    values["training"]["phases"] *= 2
    words = shlex.split(line, comments=True)
    for flag, word in pairwise(words):
        if flag == "--set":
            Experiment.from_dict(assign(values, word))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_compiles_and_its_names_exist(page: Path) -> None:
    for body in blocks(page, "python"):
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id == "foveate":
                    assert hasattr(importlib.import_module("foveate"), node.attr), node.attr
                if node.value.id == "run":
                    from foveate import Run

                    assert node.attr == "folder" or hasattr(Run, node.attr), node.attr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_is_a_valid_experiment(page: Path) -> None:
    for body in blocks(page, "yaml"):
        values = yaml.safe_load(body)
        if "arms" in values:
            assert Study.from_dict({**values, "arms": with_guides(values["arms"])}, source=page.name).cells()
            continue
        search = parse(Search, values, source=page.name) if "space" in values else None
        if search:
            values = search.experiment
        base = Experiment.from_dict(merge(finetune(guide="spatial").to_dict(), values))
        if search:
            search.check(base)
            target_of(search, base)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_page_of_settings_is_what_the_code_says() -> None:
    page: str = runpy.run_path(str(ROOT / "docs" / "settings.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == page, "run: make docs"


def test_pictures_are_small() -> None:
    assert all(file.stat().st_size < 300_000 for file in (ROOT / "docs" / "images").glob("*.png"))


def test_every_folder_is_in_the_tree_of_the_readme() -> None:
    tree = next(
        body for body in blocks(ROOT / "README.md", "") if body.startswith("src/foveate/")
    ).splitlines()
    named = {line.split("/")[0].strip() for line in tree if "/" in line}
    source = ROOT / "src" / "foveate"
    folders = {path.name for path in source.rglob("*") if path.is_dir() and path.name != "__pycache__"}
    assert folders == named - {"src", "tests", "docs"}
    files = set(re.findall(r"\b\w+\.py\b", "\n".join(tree)))
    assert files <= {path.name for path in source.rglob("*.py")}


TABLES = re.compile(r"(\w+\.py), table ([A-Z]+)")


def test_tables_of_the_tree_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = TABLES.findall(text)
    assert len(found) >= 8
    for file, table in found:
        sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob(file)]
        assert any(re.search(rf"^{table}\b", source, re.MULTILINE) for source in sources), (file, table)


def test_the_citation_and_the_changes_are_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == VERSION
    assert {"cff-version", "message", "title", "authors", "license", "date-released"} <= set(citation)
    assert f"## {VERSION}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

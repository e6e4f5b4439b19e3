"""What README and docs say must exist: commands, options, names, links, pictures, folders."""

import ast
import importlib
import re
import runpy
import shlex
import tomllib
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
from foveate.studies.guides import with_guides
from foveate.studies.search import Search
from foveate.studies.search_target import target_of
from foveate.studies.specification import Study

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
EXTENDING = "extending.md"
"""Its commands take what its examples add (``test_extending.py``)."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(foveate [^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
"""(file, place in it)"""


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


def anchors(page: Path) -> set[str]:
    """What a link to a place of the page may say: its headings as GitHub writes them, and what has an id."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([\w-]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page: Path) -> None:
    for target, place in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" not in target:
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not place or place in anchors(file), f"{page.name}: {target}#{place}"


def test_the_list_of_pages_is_complete() -> None:
    listed = {target for target, _ in LINK.findall((ROOT / "docs" / "README.md").read_text(encoding="utf-8"))}
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_pages_that_the_program_names_exist() -> None:
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.j2")]
    named = {
        page for file in files for page in re.findall(r"docs/[\w-]+\.md", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 3
    assert not [page for page in named if not (ROOT / page).exists()]


def texts_of_the_program() -> list[str]:
    """Every string in the source, with ... for each value that is set in."""

    def text(node: ast.expr) -> str:
        if isinstance(node, ast.JoinedStr):
            return "".join(map(text, node.values))
        if isinstance(node, ast.BinOp):
            return text(node.left) + text(node.right)
        return str(node.value) if isinstance(node, ast.Constant) else "..."

    kinds = (ast.JoinedStr, ast.BinOp, ast.Constant)
    files = (ROOT / "src").rglob("*.py")
    return [
        text(node)
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, kinds)
    ]


def test_the_messages_of_the_faq_are_the_program_s() -> None:
    texts = texts_of_the_program()
    page = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^- `([^`]+)`", page, re.MULTILINE)
    assert len(quoted) > 30
    for message in quoted:
        parts = [re.escape(part) for part in message.split("...")]
        assert any(re.search(".*".join(parts), text) for text in texts), message


def test_what_is_typed_beside_foveate_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"foveate\[(\w+)\]", text)) <= set(extras)
    assert set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)) <= set(targets)
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= set(targets)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 130


def test_the_page_of_settings_is_what_the_code_says() -> None:
    page: str = runpy.run_path(str(ROOT / "docs" / "settings.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == page, "run: make docs"


def test_pictures_are_small() -> None:
    assert all(file.stat().st_size < 300_000 for file in (ROOT / "docs" / "images").glob("*.png"))


def test_every_folder_is_in_the_tree_of_the_house() -> None:
    tree = next(body for body in blocks(ARCHITECTURE, "") if body.startswith("src/foveate/")).splitlines()
    named = {line.split("/")[0].strip() for line in tree if "/" in line}
    source = ROOT / "src" / "foveate"
    folders = {path.name for path in source.rglob("*") if path.is_dir() and path.name != "__pycache__"}
    assert folders == named - {"src", "tests", "docs"}
    files = set(re.findall(r"\b\w+\.py\b", "\n".join(tree)))
    assert files <= {path.name for path in source.rglob("*.py")}


TABLES = re.compile(r"(\w+\.py), table ([A-Z_]+)")


def test_tables_of_the_tree_exist() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
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

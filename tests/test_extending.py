"""The worked examples of ``docs/extending.md``: a copy of the package gets them as the page says, and is used."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import foveate
from test_docs import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(
    re.findall(r"^`src/(foveate/[\w/]+\.py)`:\n\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
)
LINES = re.findall(r"^In `(\w+)` of `src/(foveate/[\w/]+\.py)`: `(\w+),`", PAGE, re.MULTILINE)
CHECKS = Path(__file__).parent / "extending" / "checks.py"
NAMES = re.findall(r"^def (test_\w+)", CHECKS.read_text(encoding="utf-8"), re.MULTILINE)


def add(table: str, file: Path, name: str, module: str) -> None:
    """Import ``name`` and list it first in ``table``."""
    text = file.read_text(encoding="utf-8")
    head = rf'^({table} = Registry\(\s*"[^"]+",|{table}: tuple\[.*\] = \()'
    text, lines = re.subn(head, rf"\1 {name},", text, flags=re.MULTILINE)
    assert lines == 1, f"{file} has no {table}"
    first = text.index("\nfrom foveate.") + 1
    file.write_text(f"{text[:first]}from {module} import {name}\n{text[first:]}", encoding="utf-8")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("house")
    shutil.copytree(
        Path(foveate.__file__).parent, root / "foveate", ignore=shutil.ignore_patterns("__pycache__")
    )
    for path, body in FILES.items():
        assert not (root / path).exists(), f"{path} is there already"
        (root / path).write_text(body, encoding="utf-8")
    for table, path, name in LINES:
        [module] = [
            path for path, body in FILES.items() if f"class {name}(" in body or f"class {name}:" in body
        ]
        add(table, root / path, name, module.removesuffix(".py").replace("/", "."))
    return root


def test_every_example_has_its_line() -> None:
    assert len(FILES) == len(LINES) == 7


@pytest.mark.parametrize("name", NAMES)
def test_it_works_as_the_page_says(name: str, house: Path, tree: Path, tmp_path: Path) -> None:
    options = ["-n", "0", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "inner")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"{CHECKS}::{name}"],
        env={**os.environ, "PYTHONPATH": str(house), "TREE": str(tree)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr

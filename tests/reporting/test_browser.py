"""The pages in a real browser: nothing is broken, blocked or wider than the screen, and the tables sort.

Skipped where no Chromium is installed; `.ci/run` installs it.
"""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from drawn import draw_tree
from foveate.data.audit import AuditConfig, audit
from foveate.data.discover import discover
from foveate.data.layout_settings import LayoutConfig
from foveate.reporting.check import build_check_page
from foveate.reporting.report import build_report
from foveate.reporting.sheet import write_sheets
from foveate.reporting.study import build_study_report
from study_helpers import analysed

from .test_sheet import make_row, make_sheet

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

PROBE = """
<script>
const found = {
  broken: [...document.images].filter((image) => !image.naturalWidth).map((image) => image.alt),
  images: document.images.length,
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  duplicates: [...document.querySelectorAll("[id]")].map((e) => e.id).filter((id, k, all) => all.indexOf(id) !== k),
  dangling: [...document.querySelectorAll("a[href^='#']")].map((a) => a.getAttribute("href").slice(1))
    .filter((id) => !document.getElementById(id)),
  sorted: [],
};
for (const table of document.querySelectorAll("table.sortable")) {
  const button = table.tHead.rows[0].cells[0].querySelector("button");
  const texts = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim());
  const before = texts();
  button.click();
  const up = texts();
  button.click();
  found.sorted.push({ before, up, down: texts() });
}
const pre = document.createElement("pre");
pre.id = "probe";
pre.textContent = JSON.stringify(found);
document.body.append(pre);
</script>
"""


def browse(page: Path, *arguments: str, width: int = 1280) -> tuple[str, str]:
    """(the page after its scripts ran, what the browser says about it); no name is resolved."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},900", "--enable-logging=stderr",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", *arguments, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if ":CONSOLE" in line)


def probed(page: Path, width: int) -> dict[str, Any]:
    """What PROBE finds, added to a copy without the policy that would rightly block it."""
    text = page.read_text(encoding="utf-8")
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    copy = page.with_name(f"probed-{width}.html")
    copy.write_text(free.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    dom, _ = browse(copy, width=width)
    match = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)
    assert match, dom[-2000:]
    found: dict[str, Any] = json.loads(html.unescape(match.group(1)))
    return found


def run_page(folder: Path, run: Path) -> Path:
    return build_report(run)


def study_page(folder: Path, run: Path) -> Path:
    return build_study_report({"": analysed(3)}, folder / "report.html", {})


def check_page(folder: Path, run: Path) -> Path:
    catalog = discover(draw_tree(folder / "drawn"), LayoutConfig()).catalog
    return build_check_page(audit(catalog, AuditConfig()), folder / "check.html")


def sheet_page(folder: Path, run: Path) -> Path:
    write_sheets(folder, make_sheet(2), iter([make_row(k) for k in range(2)]), 2)
    return folder / "sheet.html"


@pytest.mark.slow
@pytest.mark.parametrize("make", [run_page, study_page, check_page, sheet_page])
def test_page_works(make: Any, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    page = make(folder, run)
    dom, console = browse(page)
    assert console == ""
    headings = len(re.findall(r'<table[^>]*class="[^"]*sortable', dom))
    buttons = len(re.findall(r"<th[^>]*><button", dom))
    assert buttons >= headings  # the page's own policy lets its script run
    found = probed(page, 1280)
    assert found["broken"] == [] == found["duplicates"] == found["dangling"]
    assert len(found["sorted"]) == headings
    for table in found["sorted"]:
        assert sorted(table["before"]) == sorted(table["up"]) == sorted(table["down"])
        if len(set(table["before"])) > 1:
            assert table["up"] != table["down"]
    assert found["wide"] <= 0
    if make is not sheet_page:  # a sheet is as wide as its columns
        assert probed(page, 500)["wide"] <= 0

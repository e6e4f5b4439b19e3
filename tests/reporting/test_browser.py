"""The pages in a real browser: every click leads to the right pictures, nothing is broken, blocked or wider than the
screen, no request leaves the page, the console stays empty and axe finds no violation.

Skipped where no Chromium is installed; `.ci/run` installs it.
"""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from drawn import draw_tree
from foveate.data.audit import AuditConfig, audit
from foveate.data.discover import discover
from foveate.data.layout_settings import LayoutConfig
from foveate.evaluation.predictions import PredictionTable
from foveate.reporting.check import build_check_page
from foveate.reporting.comparison import build_comparison
from foveate.reporting.pictures import data_uri
from foveate.reporting.report import build_report
from foveate.reporting.sheet import write_sheets
from foveate.reporting.study import build_study_report
from study_helpers import analysed

from .conftest import CLASSES, make_run
from .test_report import EVIL
from .test_sheet import make_row, make_sheet

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"), pytest.mark.slow]

FOUND = """() => ({
  broken: [...document.images].filter((image) => image.complete && !image.naturalWidth).map((image) => image.alt),
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  duplicates: [...document.querySelectorAll("[id]")].map((e) => e.id).filter((id, k, all) => all.indexOf(id) !== k),
  dangling: [...document.querySelectorAll("a[href^='#']")].map((a) => a.getAttribute("href").slice(1))
    .filter((id) => !document.getElementById(id)),
})"""

BEYOND = """() => [...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > 697)
  .map((e) => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        found = play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield found
        found.close()


class Watched:
    """An open page; ``requests`` and ``said`` are what it asked for and what its console got."""

    def __init__(self, browser: Browser, path: Path, *, width: int = 1280, dark: bool = False) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(path.as_uri())

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *failed: object) -> None:
        outside = [url for url in self.requests if not url.startswith(("file://", "data:", "blob:"))]
        self.context.close()
        if failed[0] is None:
            assert outside == []
            assert self.said == []

    @property
    def shown(self) -> list[str]:
        """Files on the cards, all of them."""
        while self.page.locator(".more").is_visible():
            self.page.locator(".more").click()
        return self.page.locator("ul.cards .file").all_inner_texts()

    def violations(self) -> list[str]:
        return [
            f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in Axe().run(self.page).response["violations"]
        ]

    def saved(self, press: Any) -> bytes:
        """The file that a click on ``press`` saves."""
        with self.page.expect_download() as download:
            press.click()
        return Path(download.value.path()).read_bytes()


def test_rows(run: Path) -> PredictionTable:
    return PredictionTable.from_csv(run / "predictions.csv").of_split("test")


test_rows.__test__ = False  # type: ignore[attr-defined]


def run_page(folder: Path, run: Path) -> Path:
    return build_report(run)


def comparison_page(folder: Path, run: Path) -> Path:
    return build_comparison(run, Path(shutil.copytree(run, run.with_name("second"))))


def study_page(folder: Path, run: Path) -> Path:
    results, analysis = analysed(3)
    view = {
        "uri": data_uri(Image.new("RGB", (40, 40), "green")), "right": False, "prediction": "wasp", "probability": 0.2
    }  # fmt: skip
    rows = [
        {"path": f"images/bees/{k}.jpg", "label": "bee", "drawn": k < 4, "uri": view["uri"],
         "views": [{**view, "arm": arm} for arm in results.arms]}
        for k in range(8)
    ]  # fmt: skip
    long = "objective.spatial.weighting.kind: constant"
    info = {
        "arm_differences": {arm: [long] * 9 for arm in results.arms[1:]},
        "costs": {"train_seconds": {"arm 0": 83.0}, "peak_memory": {"arm 0": 1_234_567_890}},
        "sheets": [{"block": "", "pair": "seed 1", "why": "", "left": 0, "rows": rows}],
    }
    return build_study_report({"": (results, analysis)}, folder / "report.html", info)


def check_page(folder: Path, run: Path) -> Path:
    catalog = discover(draw_tree(folder / "drawn"), LayoutConfig()).catalog
    return build_check_page(audit(catalog, AuditConfig()), folder / "check.html")


def sheet_page(folder: Path, run: Path) -> Path:
    write_sheets(folder, make_sheet(2), iter([make_row(k) for k in range(2)]), 2)
    return folder / "sheet.html"


@pytest.mark.parametrize("make", [run_page, comparison_page, study_page, check_page, sheet_page])
def test_page_works(make: Any, run: Path, tmp_path: Path, browser: Browser) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    path = make(folder, run)
    for width, dark in ((1280, False), (390, True)):
        with Watched(browser, path, width=width, dark=dark) as opened:
            found = opened.page.evaluate(FOUND)
            assert found["broken"] == [] == found["duplicates"] == found["dangling"]
            if make is not sheet_page or width > 390:  # a sheet is as wide as its columns
                assert found["wide"] <= 0
            assert opened.violations() == []
            for table in opened.page.locator("table.sortable").all():
                first = table.locator("tbody tr > :first-child")
                before, head = first.all_inner_texts(), table.locator("thead button").first
                head.click()
                up = first.all_inner_texts()
                head.click()
                assert up == sorted(before, key=str.casefold)
                assert first.all_inner_texts() == up[::-1]
            if make is not sheet_page and width > 390:
                opened.page.emulate_media(media="print")
                opened.page.set_viewport_size({"width": 696, "height": 980})  # A4 without its margins
                opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
                assert opened.page.evaluate(BEYOND) == []
                for hint in opened.page.locator("nav, .screen, .save-as, .filters").all():
                    assert not hint.is_visible()


def test_a_cell_of_the_matrix_shows_its_pictures(run: Path, browser: Browser) -> None:
    rows = test_rows(run)
    with Watched(browser, build_report(run)) as opened:
        for cell in opened.page.locator("svg.matrix [data-pick]").all():
            cell.dispatch_event("click")  # no pointer, which a page that still scrolls would lead astray
            label = int(opened.page.locator("[name=label]").input_value())
            answer = int(opened.page.locator("[name=prediction]").input_value())
            wanted = rows.path[(rows.label == label) & (rows.prediction == answer)]
            assert sorted(opened.shown) == sorted(wanted)
            assert opened.page.locator(".found").inner_text().startswith(f"{len(wanted)} of {len(rows)} test")


def test_a_class_and_a_bar_show_their_pictures(run: Path, browser: Browser) -> None:
    rows = test_rows(run)
    with Watched(browser, build_report(run)) as opened:
        for name in CLASSES:
            opened.page.locator("#classes button.link", has_text=name).click()
            assert sorted(opened.shown) == sorted(rows.path[rows.label == CLASSES.index(name)])
        seen: list[str] = []
        for bar in opened.page.locator("#confidence [role=button][id^=reliability]").all():
            bar.click()
            low, high = (
                float(opened.page.locator(f"[name={end}]").input_value()) / 100 for end in ("low", "high")
            )
            assert high - low == pytest.approx(1 / 15, abs=1e-4)
            inside = (rows.confidence > low - 1e-4) & (rows.confidence < high + 1e-4)
            assert sorted(opened.shown) == sorted(rows.path[inside])
            seen += opened.shown
        assert set(seen) == set(rows.path.tolist())


def test_where_all_is_right_and_no_map_is_known_nothing_is_empty(run: Path, browser: Browser) -> None:
    """The axis goes from an even chance on, and there is no choice of look scores."""
    rows = test_rows(run)
    logits = 9.0 * np.eye(len(CLASSES))[rows.label]
    splits = ["test"] * len(rows)
    PredictionTable.from_logits(logits, rows.label, rows.path.tolist(), rows.class_ids, splits=splits).to_csv(
        run / "predictions.csv"
    )
    with Watched(browser, build_report(run)) as opened:
        assert not opened.page.locator("[name=score]").is_visible()
        axis = opened.page.locator("svg.dots text.axis").all_text_contents()
        assert [text for text in axis if "%" in text] == ["50 %", "90 %", "99 %", "99.9 %"]


def test_a_dot_opens_its_picture_with_probabilities_and_maps(run: Path, browser: Browser) -> None:
    rows = test_rows(run)
    with Watched(browser, build_report(run)) as opened:
        dots = opened.page.locator("svg.dots circle")
        assert dots.count() == np.isfinite(rows.look["energy_in_mask"]).sum()
        maps = 0
        for dot in dots.all():
            path = str(dot.get_attribute("aria-label")).split(":")[0]
            dot.dispatch_event("click")
            viewer = opened.page.locator("dialog.viewer")
            assert viewer.locator(".file").inner_text() == path
            k = rows.path.tolist().index(path)
            order = np.argsort(-rows.probabilities[k], kind="stable")
            assert viewer.locator("tbody th").all_inner_texts() == [CLASSES[i] for i in order]
            shares = [
                f"{100 * round(float(rows.probabilities[k, i]) * 10_000) / 10_000:.1f} %" for i in order
            ]
            assert viewer.locator("td.n").all_inner_texts() == shares
            if viewer.locator("[name=map]").is_enabled():
                maps += 1
                assert viewer.locator("[name=map] option").all_inner_texts() == ["class map", "tap blocks.3"]
                over = viewer.locator("img.over")
                viewer.locator("[name=map]").select_option("class map")
                first = over.get_attribute("src")
                viewer.locator("input[type=range]").fill("0")
                assert over.evaluate("e => getComputedStyle(e).opacity") == "0"
                viewer.locator("[name=map]").select_option("tap blocks.3")
                assert over.get_attribute("src") != first
                viewer.locator("input[type=range]").fill("100")
            opened.page.keyboard.press("Escape")
        assert maps == 4 - np.isnan(rows.look["energy_in_mask"][:4]).sum()


def test_both_runs_answers_and_maps_stand_side_by_side(run: Path, tmp_path: Path, browser: Browser) -> None:
    second = Path(shutil.copytree(run, run.with_name("second")))
    table = PredictionTable.from_csv(second / "predictions.csv")
    logits = np.roll(np.log(table.probabilities), 1, axis=1)  # right where the first is wrong in one way
    columns = {"splits": table.split.tolist(), "groups": table.group.tolist(), "look": table.look}
    made = PredictionTable.from_logits(logits, table.label, table.path.tolist(), table.class_ids, **columns)
    made.to_csv(second / "predictions.csv")
    rows, others = test_rows(run), test_rows(second)
    a, b = rows.correct, others.correct
    with Watched(browser, build_comparison(run, second)) as opened:
        opened.page.locator("[name=view]").select_option("class map")
        wanted = [a & b, a & ~b, ~a & b, ~a & ~b]
        for button, which in zip(opened.page.locator(".quarters button").all(), wanted, strict=True):
            button.click()
            assert button.inner_text() == str(which.sum())
            assert sorted(opened.shown) == sorted(rows.path[which])
        opened.page.get_by_text("Show all").click()
        with_maps = opened.page.locator("button.card:has(img.over)").first
        assert with_maps.locator("img.over").count() == 2
        with_maps.click()
        assert opened.page.locator("dialog .pane img.over").count() == 2
        assert opened.page.locator("dialog .pane caption").all_inner_texts() == ["run", "second"]


def test_filters_order_and_search(run: Path, browser: Browser) -> None:
    rows = test_rows(run)
    paths = rows.path.astype(str)
    with Watched(browser, build_report(run)) as opened:
        form = opened.page.locator(".filters")
        assert opened.shown == paths[np.argsort(-rows.loss, kind="stable")].tolist()
        form.locator("[name=order]").select_option("sure")
        assert opened.shown == paths[np.argsort(-rows.confidence, kind="stable")].tolist()
        form.locator("[name=order]").select_option("path")
        form.locator("[name=right]").select_option("wrong")
        assert opened.shown == sorted(paths[~rows.correct])
        form.locator("[name=low]").fill("50")
        assert opened.shown == sorted(paths[~rows.correct & (rows.confidence >= 0.49995)])
        form.get_by_text("Show all").click()
        form.locator("[name=least]").fill("40")
        form.locator("[name=most]").fill("80")
        look = rows.look["energy_in_mask"]
        assert sorted(opened.shown) == sorted(paths[(look >= 0.39995) & (look < 0.80005)])
        form.get_by_text("Show all").click()
        form.locator("[name=known-0]").fill("hive 2")
        assert sorted(opened.shown) == sorted(paths[rows.group == "hive 2"])
        form.get_by_text("Show all").click()
        form.locator("[name=search]").fill("PICTURE 1")
        assert sorted(opened.shown) == sorted(path for path in paths if path.startswith("picture 1"))
        text = opened.saved(form.locator(".save")).decode()
        assert sorted(row["path"] for row in csv.DictReader(io.StringIO(text))) == sorted(opened.shown)


def test_with_the_keyboard_alone(run: Path, browser: Browser) -> None:
    rows = test_rows(run)
    with Watched(browser, build_report(run)) as opened:
        page, keys = opened.page, opened.page.keyboard
        page.locator("svg.matrix [data-pick][tabindex='0']").focus()
        keys.press("ArrowRight")
        here = page.evaluate("document.activeElement.dataset.pick")
        assert page.locator("svg.matrix [tabindex='0']").count() == 1
        keys.press("Enter")
        assert page.evaluate("document.activeElement.className") == "found"
        assert here == page.evaluate(
            "JSON.stringify({label: +document.querySelector('[name=label]').value,"
            " prediction: +document.querySelector('[name=prediction]').value})"
        )
        page.locator("ul.cards button").first.focus()
        keys.press("Enter")
        viewer = page.locator("dialog.viewer")
        assert viewer.is_visible()
        place = viewer.locator(".place").inner_text()
        keys.press("ArrowRight")
        if not place.endswith(" of 1"):
            assert viewer.locator(".place").inner_text().startswith("2 of")
        keys.press("Escape")
        assert not viewer.is_visible()
        assert "card" in page.evaluate("document.activeElement.className")
        assert len(rows)


def test_every_drawing_can_be_saved(run: Path, browser: Browser) -> None:
    with Watched(browser, build_report(run), dark=True) as opened:
        bars = opened.page.locator(".save-as")
        assert bars.count() == opened.page.locator("svg[data-name]").count() >= 5
        for bar in bars.all():
            drawing = opened.saved(bar.get_by_text("SVG")).decode()
            assert "var(--" not in drawing
            assert 'xmlns="http://www.w3.org/2000/svg"' in drawing
            assert "rgb(24, 34, 45)" in drawing or "rgb(86, 98, 111)" in drawing, "the light page's ink"
            image = Image.open(io.BytesIO(opened.saved(bar.get_by_text("PNG")))).convert("RGB")
            assert len(image.getcolors(1 << 24) or []) > 5
            assert image.getpixel((0, 0)) == (255, 255, 255)
            lines = list(csv.reader(io.StringIO(opened.saved(bar.get_by_text("CSV")).decode())))
            assert len({len(line) for line in lines}) == 1 < len(lines)


def test_hostile_names_stay_text(tmp_path: Path, browser: Browser) -> None:
    run = make_run(tmp_path, classes=EVIL, stem="<img src=x onerror=alert(1)> ' \" &amp;")
    with Watched(browser, build_report(run)) as opened:
        opened.page.on("dialog", lambda dialog: opened.said.append(dialog.message))
        assert sorted(opened.shown) == sorted(test_rows(run).path.tolist())
        opened.page.locator("ul.cards button").first.click()
        assert opened.page.locator("dialog.viewer tbody th").count() == len(EVIL)
        assert opened.page.locator("[onerror], [onmouseover]").count() == 0
        assert opened.page.locator("[name=label] option").all_inner_texts()[1:] == list(EVIL)


def test_pictures_beside_the_page(run: Path, tmp_path: Path, browser: Browser) -> None:
    rows = test_rows(run)
    out = build_report(run, tmp_path / "mailed.html", assets=True)
    files = sorted((tmp_path / "mailed_pictures").glob("*/*.jpg"))
    assert len(files) == len(rows)
    (tmp_path / "mailed_pictures" / "000" / "999999.jpg").write_bytes(b"of an earlier report")
    build_report(run, out, assets=True)
    assert sorted((tmp_path / "mailed_pictures").glob("*/*.jpg")) == files
    with Watched(browser, out) as opened:
        images = opened.page.locator("ul.cards img")
        for image in images.all():
            image.scroll_into_view_if_needed()
            assert (
                image.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") == 32
            )
        assert images.count()


def test_a_large_page_opens(tmp_path: Path, browser: Browser, record_property: Any) -> None:
    count, classes = 20_000, 200
    rng = np.random.default_rng(0)
    run = tmp_path / "run"
    run.mkdir()
    label = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), label] += 4.5
    paths = [f"class {k:03d}/picture of a longer name {i:05d}.jpg" for i, k in enumerate(label)]
    ids = [f"class number {k}" for k in range(classes)]
    table = PredictionTable.from_logits(logits, label, paths, ids, splits=["test"] * count)
    table.to_csv(run / "predictions.csv")
    one = tmp_path / "one.jpg"
    Image.fromarray(rng.integers(0, 256, (160, 160, 3), dtype=np.uint8)).save(one, quality=75)
    for path in paths:
        file = tmp_path / "data" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        os.link(one, file)
    (run / "environment.json").write_text(json.dumps({"data_root": str(tmp_path / "data")}))
    out = build_report(run)
    assert 10e6 < out.stat().st_size < 20e6
    with Watched(browser, out) as opened:
        assert opened.page.evaluate("document.querySelectorAll('*').length") < 60_000
        timing = "performance.getEntriesByType('navigation')[0].domComplete"
        record_property("opened_ms", opened.page.evaluate(timing))
        cell = opened.page.locator("svg.matrix [data-pick] .miss").first
        cell.dispatch_event("click", {"bubbles": True})
        k, answer = (
            int(opened.page.locator(f"[name={name}]").input_value()) for name in ("label", "prediction")
        )
        wanted = table.path[(table.label == k) & (table.prediction == answer)]
        assert sorted(opened.shown) == sorted(wanted)

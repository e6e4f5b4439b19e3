"""The app's page in a real browser: what a person does with it, down to the mask on the disk.

Skipped where no Chromium is installed.
"""

import base64
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foveate.experiment import Run

from .conftest import Client, Opened

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"), pytest.mark.slow]
HOSTILE = (
    "</script><script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "R&D",
)


class Watched:
    """A page of the app, and what happened in it."""

    def __init__(self, browser: Any, client: Client, width: int, **how: Any) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, **how)
        self.console: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(client.app.url)
        self.page.wait_for_selector("#list [data-key]", timeout=120_000)

    def open(self, key: str) -> None:
        self.page.click(f"#list [data-key={key}]")
        self.page.wait_for_selector("#mask:not([hidden])")
        self.page.wait_for_selector("#map:not([hidden])", timeout=60_000)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """From one place of the picture to another, in shares of it."""
        self.page.locator("#mask").scroll_into_view_if_needed()
        frame = self.page.locator("#mask").bounding_box()
        places = [
            (frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in (start, end)
        ]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        self.page.mouse.move(*places[1], steps=5)
        self.page.mouse.up()

    def bits(self, key: str) -> np.ndarray:
        """The mask as it is painted."""
        found = self.page.evaluate(
            "(key) => { const e = foveate.edits.get(key); return [e.width, e.height, [...e.bits]]; }", key
        )
        return np.array(found[2], dtype=np.uint8).reshape(found[1], found[0])


@pytest.fixture(scope="module")
def browser() -> Any:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def test_look_correct_and_save(
    finished: Run, tree: Path, serve: Opened, browser: Any, tmp_path: Path
) -> None:
    run = Run.open(finished.folder)
    run.catalog = replace(finished.catalog, classes=HOSTILE)  # as if the folders had these names
    with serve(run, tmp_path / "drawn") as client:
        client.app.session.try_explainers()
        seen = Watched(browser, client, 1440)
        page = seen.page
        # Answers, and another explainer.
        pictures = sorted((tree / "images" / "class0").iterdir())[:2]
        (tmp_path / "<b>text.png").write_text("no picture")
        page.set_input_files("#choose-file", [*map(str, pictures), str(tmp_path / "<b>text.png")])
        page.wait_for_selector("#strip button:nth-child(2)", state="attached")
        page.wait_for_selector("#map:not([hidden])", timeout=60_000)
        page.wait_for_selector(".problem")
        assert page.inner_text(".problem").startswith("<b>text.png cannot be read: ")
        wanted = finished.predict(pictures).prediction[1]
        assert page.inner_text("#classes li:first-child .name") == HOSTILE[wanted]
        assert page.inner_text("#legend") == f"Bright: what speaks for {HOSTILE[wanted]}."
        assert page.is_hidden("#tools")
        before = page.evaluate("document.getElementById('map').toDataURL()")
        page.wait_for_selector("#method option[value=gradient]", state="attached")
        with page.expect_response(lambda response: "method=gradient" in response.url):
            page.select_option("#method", "gradient")
        page.wait_for_selector("#map:not([hidden])")
        assert page.evaluate("document.getElementById('map').toDataURL()") != before
        page.select_option("#method", "gradcam")
        with page.expect_download() as download:
            page.click("text=Save all answers (CSV)")
        assert pd.read_csv(download.value.path())["path"].tolist() == [file.name for file in pictures]
        # A picture of the run: paint, undo, erase, save.
        assert page.input_value("#split") == "train"
        key = page.get_attribute("#list [data-key]", "data-key")
        row = int(key[1:])
        seen.open(key)
        own = pixels(tree / "masks" / Path(*Path(finished.catalog.samples[row].path).parts[1:]))
        np.testing.assert_array_equal(seen.bits(key) * 255, own)
        assert page.is_disabled("#save")
        seen.drag((0.1, 0.9), (0.9, 0.9))
        stroke = seen.bits(key)
        assert stroke[28:30, 4:28].all()
        assert (stroke >= own // 255).all()
        page.click("#undo")
        np.testing.assert_array_equal(seen.bits(key) * 255, own)
        page.click("#clear")
        page.click("[data-tool=box]")
        seen.drag((0.25, 0.125), (0.75, 0.5))
        page.click("[data-paints='0']")
        seen.drag((0.5, 0.25), (0.625, 0.375))
        page.keyboard.press("Control+z")
        seen.drag((0.5, 0.25), (0.75, 0.375))
        painted = np.zeros((32, 32), dtype=np.uint8)
        painted[4:16, 8:24] = 1
        painted[8:12, 16:24] = 0
        np.testing.assert_array_equal(seen.bits(key), painted)
        page.click("#save")
        page.wait_for_selector("#again:not([hidden])")
        (file,) = (tmp_path / "drawn").rglob("*.png")
        np.testing.assert_array_equal(pixels(file), painted * 255)
        assert page.inner_text("#command") == client.app.session.drawn.command()
        assert page.inner_text(f"#list [data-key={key}] .small").startswith("drawn")
        assert page.is_disabled("#save")
        # Nothing from elsewhere, nothing broken.
        assert page.title().startswith("finished: ")
        assert {url.startswith((client.app.url, "blob:", "data:")) for url in seen.requests} == {True}
        refused = [text for text in seen.console if "422" not in text]  # the file that is no picture
        assert refused == []
        page.close()


def test_a_finger_paints_on_a_phone(
    finished: Run, tree: Path, serve: Opened, browser: Any, tmp_path: Path
) -> None:
    run = Run.open(finished.folder)
    samples = [sample.path for sample in finished.catalog.samples]
    run.catalog = finished.catalog.with_column("mask", [""] * len(samples))
    with serve(run, tmp_path / "drawn") as client:
        seen = Watched(browser, client, 390, color_scheme="dark", has_touch=True, is_mobile=True)
        page = seen.page
        key = page.get_attribute("#list [data-key]", "data-key")
        seen.open(key)
        page.wait_for_function("(key) => foveate.edits.get(key).changed", arg=key)
        found = client("map", key=key, **{"class": client("open", key=key)["order"][0]})
        levels = np.frombuffer(base64.b64decode(found["levels"]), dtype=np.uint8).reshape(32, 32)
        np.testing.assert_array_equal(seen.bits(key), levels >= 128)  # begun with the map
        page.tap("#clear")
        page.tap("[data-tool=box]")
        page.locator("#mask").scroll_into_view_if_needed()
        frame = page.locator("#mask").bounding_box()
        touch = page.context.new_cdp_session(page)
        for kind, x, y in (("touchStart", 0.25, 0.25), ("touchMove", 0.4, 0.4), ("touchMove", 0.5, 0.75)):
            place = {"x": frame["x"] + x * frame["width"], "y": frame["y"] + y * frame["height"]}
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        wanted = np.zeros((32, 32), dtype=np.uint8)
        wanted[8:24, 8:16] = 1
        np.testing.assert_array_equal(seen.bits(key), wanted)
        assert (
            page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        )
        page.tap("#save")
        page.wait_for_selector("#again:not([hidden])")
        (file,) = (tmp_path / "drawn").rglob("*.png")
        np.testing.assert_array_equal(pixels(file), wanted * 255)
        assert seen.console == []
        page.close()


def test_axe_finds_nothing(finished: Run, serve: Opened, browser: Any, tmp_path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with serve(finished, tmp_path / "drawn") as client:
        seen = Watched(browser, client, 1440, bypass_csp=True)  # axe is put into the page as a script
        seen.open(seen.page.get_attribute("#list [data-key]", "data-key"))
        seen.page.click("#clear")
        seen.page.click("#save")
        seen.page.wait_for_selector("#again:not([hidden])")
        for scheme in ("light", "dark"):
            seen.page.emulate_media(color_scheme=scheme)
            found = Axe().run(seen.page)
            assert found.violations_count == 0, found.generate_report()
        seen.page.close()

"""The page in a real browser, from a file: it answers as the run does, asks nobody, and text stays text.

Skipped where no Chromium is installed.
"""

import base64
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveate.experiment import Run
from foveate.export.card import ExportCard
from foveate.export.web import export_web

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
HOSTILE = (
    "</script><script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "R&D",
)
ASK = """async (text) => {
  const blob = new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]);
  const { raw, order } = await foveate.classify(blob);
  return [raw, order];
}"""
SQUARE = """async ([text, fit, size, kept]) => {
  const blob = new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]);
  const image = await foveate.decode(blob);
  const before = { ...foveate.card };
  Object.assign(foveate.card, { fit, size, kept });
  const { square } = foveate.squareOf(image);
  Object.assign(foveate.card, before);
  return [...square.data];
}"""


@dataclass
class Opened:
    """The page in the browser, and what happened in it."""

    page: Any
    console: list[str]
    requests: list[str]
    run: Run
    card: ExportCard
    file: Path


@pytest.fixture(scope="module")
def opened(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    from playwright.sync_api import sync_playwright

    run = Run.open(finished.folder)
    run.catalog = replace(finished.catalog, classes=HOSTILE)  # as if the folders had these names
    file = tmp_path_factory.mktemp("web") / "page.html"
    card = export_web(run, file, nearest=True, limit=12)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900}, offline=True)
        console: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("#choose:not([disabled])", timeout=120_000)
        yield Opened(page, console, requests, finished, card, file)
        browser.close()


def text_of(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def variants(folder: Path, tree: Path) -> list[Path]:
    """Pictures as people have them: of every size and form that a browser reads too."""
    source = Image.open(next((tree / "images").rglob("*.png"))).convert("RGB")
    large = Image.effect_mandelbrot((301, 203), (-2, -1.2, 1, 1.2), 60).convert("RGB")
    large.paste(source.resize((90, 90)), (20, 30))
    veil = large.copy().convert("RGBA")
    veil.putalpha(Image.linear_gradient("L").resize(veil.size).point(lambda value: 255 * (value > 100)))
    exif = Image.Exif()
    exif[0x0112] = 6
    large.save(folder / "large.png")
    large.save(folder / "turned.jpg", exif=exif, quality=90)
    large.convert("L").save(folder / "grey.png")
    large.quantize(40).save(folder / "palette.png")
    large.resize((9, 300)).save(folder / "narrow.webp", lossless=True)
    veil.save(folder / "veil.png")
    return sorted(folder.iterdir())


def test_it_answers_as_the_run_does(opened: Opened, tree: Path, tmp_path: Path) -> None:
    files = [*sorted((tree / "images").rglob("*.png")), *variants(tmp_path, tree)]
    found = [opened.page.evaluate(ASK, text_of(file)) for file in files]
    wanted = opened.run.predict(files)
    assert [order[0] for _, order in found] == wanted.prediction.tolist()
    exact = [k for k, file in enumerate(files) if file.stem not in ("turned", "narrow")]
    raw = np.array([raw for raw, _ in found])
    np.testing.assert_allclose(raw[exact], wanted.probabilities[exact], atol=2e-5)
    np.testing.assert_allclose(raw, wanted.probabilities, atol=0.02)


@pytest.mark.parametrize("fit", ["squash", "crop_bicubic", "pad_bicubic", "crop@70"])
@pytest.mark.parametrize(("size", "kept"), [(32, None), (48, 60)])
def test_pictures_are_resized_as_pillow_does(
    opened: Opened, tree: Path, tmp_path: Path, fit: str, size: int, kept: int | None
) -> None:
    card = opened.card.model_copy(update={"fit": fit, "size": size, "kept": kept})
    for file in variants(tmp_path, tree):
        if file.suffix == ".jpg":
            continue
        found = opened.page.evaluate(SQUARE, [text_of(file), fit, size, kept])
        wanted = card.square(file).transpose(1, 2, 0).ravel()
        # Pillow 13 resizes the height first where a picture is much higher than wide, Pillow 12 never does.
        apart = 2 if file.stem == "narrow" else 0
        np.testing.assert_allclose(np.array(found), wanted, rtol=0, atol=apart, err_msg=f"{file.name} {fit}")


def test_what_a_person_does(opened: Opened, tree: Path, tmp_path: Path) -> None:
    page = opened.page
    pictures = [*map(str, sorted((tree / "images" / "class0").iterdir())[:2]), str(tmp_path / "text.png")]
    (tmp_path / "text.png").write_text("no picture")
    for width, scheme in ((1440, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        before = page.locator("#strip button").count()
        page.set_input_files("#choose-file", pictures)
        page.wait_for_selector(f"#strip button:nth-child({before + 2})", state="attached")
        page.wait_for_selector("#status", state="hidden")
        page.wait_for_selector("#map:not([hidden])", timeout=60_000)
        assert page.locator(".problem").all_inner_texts() == [
            "text.png cannot be read by this browser; save it as JPEG or PNG."
        ]
        assert (
            page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        )
    first = opened.run.predict(pictures[1]).prediction[0]
    assert page.inner_text("#classes li:first-child .name") == HOSTILE[first]
    assert page.locator("#classes li").count() == 3
    assert page.locator("#thumbnails img").count() == 6
    page.focus("#classes li:nth-child(2) button")
    page.keyboard.press("Enter")
    assert page.get_attribute("#classes li:nth-child(2) button", "aria-pressed") == "true"
    page.wait_for_selector("#map:not([hidden])")
    name = page.inner_text("#classes li:nth-child(2) .name")
    assert page.inner_text("#legend") == f"Bright: places without which {name} would be less probable."
    page.fill("#strength", "0")
    assert page.evaluate("getComputedStyle(document.getElementById('map')).opacity") == "0"
    page.click("#strip button:first-child")
    assert page.get_attribute("#strip button:first-child", "aria-pressed") == "true"
    assert page.title().startswith("finished: ")
    assert opened.console == []
    assert opened.requests == [opened.file.as_uri()]


def test_axe_finds_nothing(opened: Opened, tree: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened.page.context.browser.new_page(bypass_csp=True)  # axe is put into the page as a script
    page.goto(opened.file.as_uri())
    page.wait_for_selector("#choose:not([disabled])", timeout=120_000)
    page.set_input_files(
        "#choose-file", [str(file) for file in sorted((tree / "images" / "class1").iterdir())[:2]]
    )
    page.wait_for_selector("#strip button:nth-child(2)", state="attached")
    page.wait_for_selector("#map:not([hidden])", timeout=60_000)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page.close()

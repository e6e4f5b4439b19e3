"""python docs/images/where_it_looks.py demo/guided: the README's picture, from the report of the demo's guided run."""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from foveate.reporting.report import build_report

STYLE = "nav, #look article:nth-child(2), #look article:nth-child(n+4) { display: none; } #look { padding: 12px; }"
WIDTH = 760

with sync_playwright() as play:
    browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1120, "height": 1400})
    page.goto(build_report(Path(sys.argv[1])).absolute().as_uri())
    page.add_style_tag(content=STYLE)
    shown = Image.open(io.BytesIO(page.locator("#look").screenshot())).convert("RGB")
    shown = shown.resize((WIDTH, round(WIDTH * shown.height / shown.width)), Image.Resampling.LANCZOS)
    shown.save(Path(__file__).with_suffix(".png"), optimize=True)

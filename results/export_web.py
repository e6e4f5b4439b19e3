"""python results/export_web.py RUN PAGE.html PICTURES [COUNT]: the page in headless Chromium beside the run itself.

Prints one row of results/export.md: pictures, agreement, largest difference of a probability, seconds a picture, size.
"""

import base64
import shutil
import sys
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from foveate.data.listing import picture_list
from foveate.experiment import Run

ASK = """async (text) => {
  const { raw, seconds } = await foveate.classify(new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]));
  return [raw, seconds];
}"""


def main() -> None:
    """Compare and print."""
    run, page_file, pictures = Run.open(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 1000
    root, names = picture_list([pictures])
    rows = np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int)
    files = [root / names[row] for row in rows]
    wanted = run.predict(files)
    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(offline=True)
        page.goto(page_file.absolute().as_uri())
        page.wait_for_selector("#choose:not([disabled])", timeout=300_000)
        found = [page.evaluate(ASK, base64.b64encode(file.read_bytes()).decode()) for file in files]
        browser.close()
    raw = np.array([answer for answer, _ in found])
    same = raw.argmax(axis=1) == wanted.prediction
    difference = np.abs(raw - wanted.probabilities).max()
    seconds = np.median([each for _, each in found])
    size = page_file.stat().st_size / 1e6
    print(f"{len(files)} | {same.mean():.2%} | {difference:.1e} | {seconds:.3f} | {size:.1f} MB")


if __name__ == "__main__":
    main()

"""A whole run: its folder keeps a sheet of proxies for the report, nothing else of them, and says what leaked."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.experiment import run
from foveate.reporting.report import build_report
from training_helpers import experiment


def test_the_report_shows_proxies_below_their_originals_and_says_leak(tree: Path, tmp_path: Path) -> None:
    proxies = {
        "kind": "proxy_attention", "schedule": [1, "p", 1], "share": 1.0, "rule": "min", "threshold": 0.5,
        "storage": "disk", "explainer": "gradient",
    }  # fmt: skip
    phases = [{"name": "all", "epochs": 3, "lr": 0.003, "restore_best": None}]
    finished = run(
        experiment(
            feedback=[proxies, {"kind": "leaking_resplit", "schedule": [1, 2]}], training={"phases": phases}
        ),
        tree,
        tmp_path / "run",
    )
    (sheet,) = (finished.folder / "changed_pictures").iterdir()
    assert sheet.name == "from epoch 0003, feedback 1 proxy attention.png"
    with Image.open(sheet) as opened:
        pixels = np.asarray(opened).astype(int)
    above, below = pixels[:32, :32], pixels[-32:, :32]
    changed = (above != below).any(axis=2)
    assert changed.any()
    assert (below[changed] == above.min()).all()  # one value, the picture's smallest
    assert not (finished.folder / "feedback").exists()
    page = build_report(finished.folder).read_text()
    assert "From epoch 3 on, feedback 1: proxy attention" in page
    assert re.search(r'<section id="changed">.*?<img src="data:image/jpeg', page, re.DOTALL)
    notices = re.findall(r'<p class="notice" role="note">(.*?)</p>', page)
    assert any(notice.startswith("LEAK: validation pictures are trained on") for notice in notices)

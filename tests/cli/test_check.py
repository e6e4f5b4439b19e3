"""The command body: what it prints, writes and returns."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from foveate.cli.check_screen import check_pictures
from foveate.core.errors import ConfigError, DataError
from foveate.data.audit import AuditConfig


def picture(seed: int) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((48, 48), Image.Resampling.BICUBIC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of 20 pictures, bird<k>_<n>.png with two pictures a bird."""
    for label, name in enumerate(("finch", "wren")):
        (tmp_path / "birds" / name).mkdir(parents=True)
        for k in range(20):
            picture(100 * label + k).save(tmp_path / "birds" / name / f"bird{10 * label + k // 2}_{k}.png")
    return tmp_path / "birds"


def run(data: Path, typed: dict[str, str] | None = None, **options) -> tuple[int, str]:
    stream = io.StringIO()
    options.setdefault("config", AuditConfig(probes=False))
    status = check_pictures(data, typed, console=Console(file=stream, width=100, highlight=False), **options)
    return status, stream.getvalue()


def test_clean_set(data: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foveate.cli.screen.SILENCE", 1e9)  # a busy machine has something to say
    status, text = run(data, config=AuditConfig())
    assert status == 0
    assert "How well a trivial cue alone gives the class" in text
    assert "Pictures  40 (class folders)" in text
    assert "Classes   2, 20 each" in text
    assert [line.split()[:2] for line in text.splitlines() if "━" in line] == [
        ["finch", "20"],
        ["wren", "20"],
    ]
    assert "✓" in text
    assert "no errors. Next: foveate split" in text
    assert capsys.readouterr() == ("", "")


def test_errors_are_shown_written_and_returned(data: Path, tmp_path: Path) -> None:
    (data / "wren" / "broken.jpg").write_bytes(b"no picture")
    for k in range(5):
        picture(k).save(data / "wren" / f"{'a_very_long_name_' * 6}{k}.png")
    (data / "robin").mkdir()
    page = tmp_path / "check.html"
    status, text = run(data, json=tmp_path / "check.json", csv=tmp_path / "check.csv", html=page)
    assert "Not readable as a picture" in page.read_text()
    assert "wren/broken.jpg" in re.sub("<[^>]*>|\u200b", "", page.read_text())
    bars = {line.split()[0]: line.count("━") + line.count("╸") for line in text.splitlines() if "━" in line}
    assert bars["wren"] == 40 > bars["finch"] > bars.get("robin", 0)
    assert status == 1
    assert "✗ Not readable as a picture  1" in text
    assert "wren/broken.jpg" in text
    assert "✗ One picture under two classes  5" in text
    assert "… and 2 more" in text
    assert "! Class without a picture  1" in text
    assert "--quarantine, which leaves out 11 pictures" in " ".join(text.split())
    assert max(map(len, text.splitlines()[1:])) <= 100  # the first line is the folder's path
    report = json.loads((tmp_path / "check.json").read_text())
    assert report["errors"] == 6
    assert len(report["quarantine"]) == 11
    with open(tmp_path / "check.csv", newline="") as stream:
        assert [row["code"] for row in csv.DictReader(stream)] == [p["code"] for p in report["problems"]]


def test_split_file_brings_leaks_to_light(data: Path, tmp_path: Path) -> None:
    picture(0).save(data / "finch" / "copy.png")
    paths = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.png"))
    rows = [
        f"{p},{p.split('/')[0]},{'test' if 'copy' in p or k % 4 == 0 else 'train'}"
        for k, p in enumerate(paths)
    ]
    rows = [row.replace("bird0_0.png,finch,test", "bird0_0.png,finch,train") for row in rows]
    (tmp_path / "split.csv").write_text("\n".join(["path,label,split", *rows, ""]))
    assert run(data)[0] == 0
    status, text = run(data, split=tmp_path / "split.csv")
    assert status == 1
    assert "Identical pictures across splits  1" in text


def test_groups(data: Path) -> None:
    assert "Groups    20" in run(data, {"group": r"regex:(bird\d+)_"})[1]
    with pytest.raises(ConfigError, match="The command line"):
        run(data, {"group": "bird"})


def test_one_class(data: Path) -> None:
    status, text = run(data / "wren" / "..", {"label": "regex:(wr|f).*(?=bird)"})
    assert status == 0
    status, text = run(data, {"label": "regex:bird"})
    assert status == 1
    assert "All 40 labelled pictures are of one class, bird: there is nothing to tell apart." in " ".join(
        text.split()
    )


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        run(tmp_path / "nowhere")

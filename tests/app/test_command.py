"""foveate app as it is typed: it says where it is, ends with Ctrl-C, and says what is in the way."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foveate.cli.main import app
from foveate.experiment import Run


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_ctrl_c_and_leaves_no_pictures(
    number: signal.Signals, finished: Run, tmp_path: Path
) -> None:
    words = [sys.executable, "-u", "-m", "foveate", "app", str(finished.folder), "--quick"]
    words += ["--masks", str(tmp_path / "drawn")]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout is not None
    said = next(line for line in process.stdout if "http://" in line)
    address = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{22}/", said)
    assert address is not None
    with urllib.request.urlopen(address[0]) as page:
        assert b"<title>finished: which of 3 classes</title>" in page.read()
    taken = CliRunner().invoke(app, [*words[4:], "--port", address[0].split(":")[2].split("/")[0]])
    assert taken.exit_code == 1
    assert "choose another --port, or leave it out." in " ".join(taken.output.split())
    assert len(list(tmp_path.glob("foveate-*"))) == 1
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest.strip().splitlines()[-1]) == (0, "Stopped.")
    assert not (tmp_path / "drawn").exists()
    assert not list(tmp_path.glob("foveate-*"))


def test_what_is_in_the_way(finished: Run, tree: Path, tmp_path: Path) -> None:
    def said(*words: object) -> str:
        result = CliRunner().invoke(app, ["app", *map(str, words)])
        assert result.exit_code == 1, result.output
        return " ".join(result.output.split())

    assert "is not a run folder" in said(tmp_path)
    masks = tree / "images" / "class0"
    assert "would lie among the pictures" in said(finished.folder, "--quick", "--masks", masks)

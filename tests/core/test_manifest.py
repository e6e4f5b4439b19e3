"""The hashes of a finished run's files, against files changed by hand."""

import hashlib
import json
from pathlib import Path

import pytest

from foveate.core import manifest
from foveate.core.errors import RunError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in manifest.PARTS[:-1]:
        (tmp_path / name).write_bytes(name.encode())
    manifest.finish(tmp_path, {"metrics": {}, "name": "Käfer"})
    return tmp_path


def test_every_part_is_hashed(folder: Path) -> None:
    stated = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    assert stated == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in manifest.PARTS
    }
    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == {
        "metrics": {}, "name": "Käfer",
    }  # fmt: skip
    manifest.check(folder)


@pytest.mark.parametrize("name", manifest.PARTS)
def test_one_changed_byte_is_refused_and_named(folder: Path, name: str) -> None:
    file = folder / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(RunError, match=rf"not as it was written: {name} was changed\. Restore"):
        manifest.check(folder)
    manifest.check(folder, [other for other in manifest.PARTS if other != name])


def test_all_that_differs_is_named(folder: Path) -> None:
    (folder / "catalog.csv").write_text("other")
    (folder / "history.csv").unlink()
    assert manifest.differences(folder) == ["catalog.csv was changed", "history.csv is gone"]


def test_a_part_put_there_later_is_seen(tmp_path: Path) -> None:
    manifest.finish(tmp_path, {})
    (tmp_path / "background_tests.csv").write_text("test,n")
    assert manifest.differences(tmp_path) == ["background_tests.csv was added"]
    (tmp_path / "report.html").write_text("no part of it")
    (tmp_path / "background_tests.csv").unlink()
    manifest.check(tmp_path)


def test_weights_may_be_left_out(folder: Path) -> None:
    (folder / manifest.WEIGHTS).unlink()
    manifest.check(folder)


def test_without_a_manifest_it_is_read_and_said(folder: Path) -> None:
    assert manifest.unchecked(folder) is None
    (folder / "manifest.json").unlink()
    (folder / "catalog.csv").write_text("other")
    manifest.check(folder)
    assert "changes of its files since it finished cannot be seen" in str(manifest.unchecked(folder))


def test_what_is_not_finished_is_nobodys_concern(folder: Path) -> None:
    (folder / "result.json").unlink()
    (folder / "catalog.csv").write_text("other")
    manifest.check(folder)
    assert manifest.unchecked(folder) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"sha256": 3}', '{"sha256": ["a"]}', "\udcff", "[" * 20000])
def test_a_damaged_manifest_is_one_sentence(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunError, match=r"manifest\.json"):
        manifest.check(folder)

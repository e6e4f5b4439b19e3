"""foveate data get: what torchvision would download is drawn instead."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from click.testing import Result
from typer.testing import CliRunner

import layout_copies as copies
from foveate.cli.main import app
from foveate.core.torchvision_guard import datasets
from foveate.data.discover import discover
from foveate.data.layouts.download import FETCHED

DRAWN = {
    "fgvcaircraft": (copies.aircraft, "fgvc_aircraft"),
    "oxfordiiitpet": (copies.pets, "oxford_iiit_pet"),
    "flowers102": (copies.flowers, "flowers102"),
    "cifar10": (copies.cifar10, "utils"),
    "cifar100": (copies.cifar100, "utils"),
    "imagenette": (copies.imagenette, "imagenette"),
    "food101": (copies.food101, "food101"),
}
"""{name: (draws it, torchvision's module whose downloader is exchanged)}"""


def foveate(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("name", DRAWN)
def test_it_fetches_says_whose_it_is_and_can_be_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, module = DRAWN[name]
    asked: list[str] = []

    def stub(url: str, *_: Any, **more: Any) -> None:
        asked.append(url)
        if len(asked) == 1:
            draw(tmp_path / "to")

    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(f"torchvision.datasets.{module}.download_and_extract_archive", stub)
    if name == "flowers102":
        monkeypatch.setattr("torchvision.datasets.flowers102.download_url", stub)
        drawn = lambda path, *_: Path(path).exists()  # noqa: E731  (the md5 of the published bytes)
        monkeypatch.setattr("torchvision.datasets.flowers102.check_integrity", drawn)
    got = foveate("data", "get", name, "--to", tmp_path / "to")
    assert got.exit_code == 0, got.output
    layout = FETCHED[name]
    assert layout.page in got.output
    assert f"Licence: {layout.licence}." in got.output
    assert asked
    assert all(url.startswith("http") for url in asked)
    assert discover(tmp_path / "to").layout == layout.name


def test_every_set_that_is_fetched_is_tested_and_listed() -> None:
    listed = foveate("data", "get").output
    assert set(FETCHED) == set(DRAWN)
    assert all(name in listed and layout.page in listed for name, layout in FETCHED.items())


def test_no_pickle_is_read_while_fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", lambda *_, **more: None)
    monkeypatch.setattr(datasets.CIFAR10, "__init__", lambda *_, **more: pytest.fail("it was made"))
    assert foveate("data", "get", "CIFAR-100", "--to", tmp_path).exit_code == 0


def test_what_goes_wrong_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stub(*_: Any, **more: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.food101.download_and_extract_archive", stub)
    failed = foveate("data", "get", "food-101", "--to", tmp_path)
    assert failed.exit_code == 1
    assert "Food-101 could not be fetched" in failed.output
    assert "yourself" in " ".join(failed.output.split())
    assert "choose one of" in foveate("data", "get", "cub", "--to", tmp_path).output
    assert "--to FOLDER" in " ".join(foveate("data", "get", "food101").output.split())

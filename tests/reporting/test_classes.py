"""The pictures of each class, counted and shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.data.audit import AuditConfig, audit
from foveate.data.discover import discover
from foveate.data.layout_settings import LayoutConfig
from foveate.reporting.check import build_check_page
from foveate.reporting.classes import EACH, class_pictures, distribution, samples, words
from foveate.reporting.report import build_report

from .conftest import Page


def bars(svg: str) -> int:
    return svg.count('id="distribution-patch_')


def test_a_bar_for_each_class_and_split_with_its_number() -> None:
    counts = {"training": np.array([5, 2, 9]), "test": np.array([1, 0, 3]), "validation": np.zeros(3, int)}
    svg = str(distribution(["ash", "beech", "<oak>"], counts))
    assert 'aria-label="Pictures a class: ash 6, beech 2, &lt;oak&gt; 12"' in svg
    for text in ("ash", "beech", "training", "test", ">6<", ">2<", ">12<"):
        assert text in svg
    assert "validation" not in svg
    assert "<oak>" not in svg


def test_many_classes_are_sorted_and_have_no_names() -> None:
    sizes = np.arange(1, 101)
    svg = str(distribution([f"class {k}" for k in range(100)], {"training": sizes}))
    assert "largest first" in svg
    assert ">class 99<" not in svg
    assert "class 99 100, class 98 99" in svg  # read out


def test_words() -> None:
    assert words(["a", "b"], np.array([10, 30])) == (
        "2 classes; the smallest, a, has 10 pictures, the largest, b, 30, 3.0 times as many. Always answering the "
        "largest would be right for 75.0 %."
    )
    assert words(["a", "b"], np.array([7, 7])) == "2 classes of 7 pictures each."
    assert "times" not in words(["a", "b"], np.array([0, 30])) + words(["a", "b"], np.array([33, 34]))


def test_samples_are_the_same_every_time_and_skip_what_cannot_be_read(tmp_path: Path) -> None:
    rows = []
    for k in range(9):
        Image.new("RGB", (20, 10), (k * 20, 0, 0)).save(tmp_path / f"{k}.png")
        rows.append((f"{k}.png", k % 2, "train"))
    (tmp_path / "0.png").write_bytes(b"no picture")
    found = samples(tmp_path, "even", rows, 0)
    assert {path for _, path in found} == {"2.png", "4.png", "6.png", "8.png"}
    assert found == samples(tmp_path, "even", rows[::-1], 0)
    assert all(uri.startswith("data:image/jpeg") for uri, _ in found)
    many = class_pictures(tmp_path, ["even", "odd"], rows * 1)
    assert [entry["count"] for entry in many["samples"]] == [5, 4]
    assert all(len(entry["uris"]) <= EACH for entry in many["samples"])
    assert class_pictures(None, ["even", "odd"], rows)["samples"] == []


def test_the_report_of_a_run_shows_them(run: Path) -> None:
    page = Page(build_report(run))
    assert ("section", {"id": "pictures"}) in page.elements
    assert "3 classes of 16 pictures each." in page.text
    assert any(a.get("aria-label") == "Pictures a class: bee 16, wasp 16, fly 16" for _, a in page.elements)
    shown = [a for tag, a in page.elements if tag == "img" and str(a.get("title", "")).startswith("picture")]
    assert len(shown) == 3 * EACH


@pytest.mark.slow
@pytest.mark.parametrize("probes", [True, False])
def test_the_page_of_a_check(tree: Path, tmp_path: Path, probes: bool) -> None:
    read = discover(tree, LayoutConfig())
    catalog = read.catalog
    found = audit(catalog, AuditConfig(probes=probes))
    page = Page(build_check_page(found, tmp_path / "check.html", read.notes))
    for note in read.notes:
        assert note in page.text
    assert "48 pictures" in page.text
    assert "3 classes of 16 pictures each." in page.text
    for problem in found.problems:
        assert problem.message in page.text
    assert ("Trivial cues" in page.text) == probes
    for cue in found.cues:
        assert cue.verdict in page.text
    assert not any(tag in ("link", "iframe") or "http" in str(a.get("src", "")) for tag, a in page.elements)


def test_the_page_of_a_check_tells_masks_by_class_and_folds_names(tree: Path, tmp_path: Path) -> None:
    catalog = discover(tree, LayoutConfig()).catalog
    without = [sample.label == 0 and k % 2 == 0 for k, sample in enumerate(catalog.samples)]
    half = replace(
        catalog,
        samples=tuple(
            replace(sample, mask="" if bare else sample.mask)
            for sample, bare in zip(catalog.samples, without, strict=True)
        ),
    )
    page = Page(build_check_page(audit(half, AuditConfig(probes=False)), tmp_path / "check.html"))
    assert f"<summary>{sum(without)} pictures, show</summary>" in page.source
    message = page.text.index("pictures have no mask")
    assert message < page.text.index(f"{sum(without)} pictures, show")
    assert "drawn mask" in page.text
    assert "without mask" in page.text

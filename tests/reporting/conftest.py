"""A run folder made by hand: small, but with everything a report can show; and a reader of pages."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveate.core.files import write_csv
from foveate.data.catalog import Catalog, Sample
from foveate.evaluation.background_files import TESTS, BackgroundSheet, BackgroundTable
from foveate.evaluation.gallery import Maps
from foveate.evaluation.predictions import PredictionTable

CLASSES = ("bee", "wasp", "fly")
IDS = ("4780", "12", "7")


class Page(HTMLParser):
    """Elements, ids, all text outside style and script, and the answers that the gallery shows."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.answers: dict[str, Any] = {}
        self.words: list[str] = []
        self.stack: list[str] = []
        self.feed(self.source)
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.stack.append("json" if ("type", "application/json") in attrs else tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.stack.pop()

    def handle_data(self, data: str) -> None:
        if self.stack:
            if self.stack[-1] == "script":
                self.scripts.append(data)
            if self.stack[-1] == "json":
                self.answers = json.loads(data)
        else:
            self.words.append(data)


def make_run(folder: Path, *, classes: tuple[str, ...] = CLASSES, n: int = 48, stem: str = "picture") -> Path:
    """Write a run folder below ``folder`` and its pictures beside it; return the run folder."""
    rng = np.random.default_rng(0)
    root, run = folder / "insects", folder / "run"
    root.mkdir()
    run.mkdir()
    samples = []
    for i in range(n):
        path = f"{stem} {i:02d}.png"
        pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / path)
        split = ("train", "val", "test", "test")[i % 4]
        mask = "png:mask" if i % 3 else ""
        samples.append(Sample(path, i % len(classes), split, mask, group=f"hive {i // 8}"))
    catalog = Catalog(root, classes, tuple(samples), IDS[: len(classes)])
    rows = np.flatnonzero([s.split != "train" for s in samples])
    logits = rng.normal(size=(len(rows), len(classes)))
    logits[np.arange(len(rows)), catalog.labels[rows]] += 1.2
    masked = np.array([bool(samples[i].mask) for i in rows])
    look = {
        name: np.where(masked, rng.random(len(rows)), np.nan)
        for name in ("energy_in_mask", "tap_energy_in_mask", "energy_chance", "energy_centre")
    }
    table = PredictionTable.from_catalog(logits, catalog, rows, look)
    table.to_csv(run / "predictions.csv")
    catalog.to_csv(run / "catalog.csv")
    history = [
        {
            "epoch": e,
            "phase": "head" if e <= 2 else "all",
            "phase_epoch": e if e <= 2 else e - 2,
            "train_loss": 2 / e,
            "train_classification": 1.5 / e,
            "train_spatial": 0.5 / e,
            "train_accuracy": 1 - 1 / (e + 1),
            "val_loss": 2.2 / e,
            "val_accuracy": [0.4, 0.6, 0.8, 0.8, 0.7][e - 1],
            "val_macro_f1": 0.5,
            "lr_head": 1e-3 / e,
            "lr_backbone": "" if e <= 2 else 1e-4 / e,
            "seconds": 2.5,
            "images_per_second": 100.0,
        }
        for e in range(1, 6)
    ]
    write_csv(run / "history.csv", list(history[0]), history)
    test = catalog.indices("test")[:4]
    maps = Maps(
        index=test,
        image=rng.integers(0, 256, (4, 24, 32, 3), dtype=np.uint8),
        mask=np.pad(np.full((4, 10, 12), 255, np.uint8), ((0, 0), (7, 7), (10, 10))),
        maps={"class map": rng.random((4, 3, 4)), "tap blocks.3": rng.random((4, 6, 8))},
    )
    maps.save(run / "maps.npz")
    _test_backgrounds(run, catalog, rng)
    (run / "experiment.yaml").write_text("seed: 11\nmodel:\n  backbone: mobilenetv2_035\n  seed: 99\n")
    environment = {
        "data_root": str(root),
        "decisions": [{"name": "batch size", "value": 32, "reason": "fits in memory"}],
        "quarantined": [
            {"path": "broken 1.jpg", "reason": "empty"},
            {"path": "broken 2.jpg", "reason": "truncated"},
        ],
        "versions": {"torch": "2.13.0"},
    }
    (run / "environment.json").write_text(json.dumps(environment))
    (run / "model.json").write_text(json.dumps({"architecture": "mobilenetv2_035", "classes": list(classes)}))
    hits = int(table.of_split("test").correct.sum())
    (run / "result.json").write_text(json.dumps({"test": {"accuracy": hits / len(table.of_split("test"))}}))
    return run


def _test_backgrounds(run: Path, catalog: Catalog, rng: np.random.Generator) -> None:
    rows = np.array([i for i in catalog.indices("test") if catalog.samples[i].mask])
    paths, labels = np.array([catalog.samples[i].path for i in rows]), catalog.labels[rows]
    count = len(catalog.classes)
    prediction = {test: rng.integers(0, count, len(rows)) for test in TESTS} | {"original": labels}
    probability = {test: rng.random(len(rows)).astype(np.float32) for test in TESTS}
    lent = np.roll(np.arange(len(rows)), 1)
    BackgroundTable(
        catalog.class_ids, "test", paths, labels, paths[lent], labels[lent], prediction, probability
    ).to_csv(run / "background_tests.csv")
    pictures = {test: rng.integers(0, 256, (3, 24, 32, 3), dtype=np.uint8) for test in TESTS}
    mask = np.pad(np.full((3, 10, 12), 255, np.uint8), ((0, 0), (7, 7), (10, 10)))
    BackgroundSheet(paths[:3], mask, pictures).save(run / "background_tests.npz")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)

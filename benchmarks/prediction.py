"""Prediction from files: a run and its exported file beside a plain loop, ONNX Runtime beside OpenVINO, start-up."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.measure import Row, compare, interleaved
from benchmarks.photos import Photos
from foveate.core import torchvision_guard  # noqa: F401  (before timm)
from foveate.core.threads import usable_cores
from foveate.experiment import Run
from foveate.export.onnx_classifier import BATCH, OnnxClassifier
from foveate.export.program import export_onnx

import timm  # isort: skip

COUNT, SIZE = 1000, 224
PLAIN = """
from foveate.core import torchvision_guard
import sys, torch, timm
from PIL import Image
from timm.data import resolve_data_config, create_transform
model = timm.create_model(sys.argv[1]).eval()
prepare = create_transform(**resolve_data_config({}, model=model))
with torch.inference_mode():
    print(model(prepare(Image.open(sys.argv[2]).convert("RGB"))[None]).argmax().item())
"""
"""What one would write to predict a single picture."""


def run(photos: Photos, repeats: int, quick: bool = False) -> list[Row]:
    """Pictures a second from files to answers, in a process that is warm; then seconds of a command for one picture."""
    from foveate.api import train

    names = ["tf_mobilenetv3_small_100"] if quick else ["tf_mobilenetv3_small_100", "tf_efficientnet_lite0"]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            folder = Path(scratch) / name
            # The weights do not matter to the clock; the head is fitted in seconds.
            finished = train(photos.root, folder, backbone=name, weights="none", freeze="probe", size=SIZE)
            export_onnx(finished, folder / "network.onnx", limit=16)
            files = [file for file, _ in photos.some(32 if quick else COUNT)]
            rows += _warm(name, folder, files, repeats)
            rows += _cold(name, folder, files[0], repeats)
    return rows


def _warm(name: str, folder: Path, files: list[Path], repeats: int) -> list[Row]:
    opened, exported = Run.open(folder), OnnxClassifier(folder / "network.onnx")
    model = timm.create_model(name, num_classes=len(opened.catalog.classes)).eval()
    squares = np.random.default_rng(0).integers(0, 256, (BATCH, 3, SIZE, SIZE), dtype=np.uint8)
    session = _openvino(folder / "network.onnx")
    ways: dict[str, Callable[[], object]] = {
        "run": lambda: opened.predict(files),
        "onnx": lambda: exported.predict(files),
        "plain": lambda: _plainly(model, files),
    }
    seconds = interleaved(ways, repeats)
    alone = interleaved(
        {"onnxruntime": partial(exported.answers, squares), "openvino": partial(session, squares)},
        4 * repeats,
    )
    case = f"{name}, {SIZE} px"
    note = "beside a loop over Pillow and timm, batches of 32"
    return [
        compare("prediction", case, seconds["run"], seconds["plain"], work=len(files), unit="pictures/s", note=note),
        compare("prediction, ONNX file", case, seconds["onnx"], seconds["plain"], work=len(files), unit="pictures/s",
                note=note),
        compare("exported network", f"{case}, batch {BATCH}", alone["onnxruntime"], alone["openvino"], work=BATCH,
                unit="pictures/s", note="ONNX Runtime beside OpenVINO, the same file, without decoding"),
    ]  # fmt: skip


def _cold(name: str, folder: Path, file: Path, repeats: int) -> list[Row]:
    commands = {
        "run": ["-m", "foveate", "predict", str(folder), str(file), "--out", str(folder.parent / "one.csv")],
        "onnx": [
            "-m",
            "foveate",
            "predict",
            str(folder / "network.onnx"),
            str(file),
            "--out",
            str(folder.parent / "one.csv"),
        ],
        "plain": ["-c", PLAIN, name, str(file)],
    }
    seconds = interleaved({key: partial(_run, command) for key, command in commands.items()}, repeats)
    note = "a fresh process, one picture; beside a script of eight lines with torch, timm and Pillow"
    return [
        compare(
            "prediction, start-up", f"{name}, {what}", seconds[key], seconds["plain"], unit="s", note=note
        )
        for key, what in (("run", "run"), ("onnx", "ONNX file"))
    ]


def _plainly(model: torch.nn.Module, files: list[Path]) -> torch.Tensor:
    """As a short script does it: open, resize, stack, ask."""
    answers = []
    with torch.inference_mode():
        for start in range(0, len(files), 32):
            squares = [
                np.asarray(Image.open(file).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR))
                for file in files[start : start + 32]
            ]
            images = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255
            answers.append(model((images - 0.5) / 0.5).softmax(1))
    return torch.cat(answers)


def _openvino(file: Path) -> Callable[[np.ndarray], Any]:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": usable_cores()}
    compiled = core.compile_model(core.read_model(file), "CPU", settings)
    return lambda squares: compiled(squares)


def _run(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

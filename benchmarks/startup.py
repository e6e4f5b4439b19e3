"""Start-up: what one waits for before anything happens."""

import subprocess
import sys

from benchmarks.measure import Row, compare, interleaved
from benchmarks.photos import Photos


def run(photos: Photos, repeats: int, quick: bool = False) -> list[Row]:
    """Seconds until a fresh process has ended (``photos`` are not needed)."""
    commands = {
        "import torch, timm": ["-c", "from foveate.core import torchvision_guard; import timm"],
        "import foveate": ["-c", "import foveate"],
        "foveate --help": ["-m", "foveate", "--help"],
        "python": ["-c", "pass"],
    }
    seconds = interleaved(
        {name: lambda arguments=arguments: _run(arguments) for name, arguments in commands.items()}, repeats
    )
    note = (
        f"beside importing torch, torchvision and timm; an empty python takes {min(seconds['python']):.2f} s"
    )
    return [
        compare("start-up", name, seconds[name], seconds["import torch, timm"], unit="s", note=note)
        for name in ("import foveate", "foveate --help")
    ]


def _run(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

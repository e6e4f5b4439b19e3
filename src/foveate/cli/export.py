"""foveate export"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from foveate.cli.command import AtLeastOne, command
from foveate.cli.screen import open_run, say
from foveate.core.errors import ConfigError

if TYPE_CHECKING:
    from foveate.export.card import ExportCard


@command()
def export(
    run: Path,
    *,
    onnx: Path | None = None,
    torch: Path | None = None,
    web: Path | None = None,
    timm: Path | None = None,
    nearest: bool = False,
    limit: AtLeastOne = None,
) -> None:
    """Write a finished run's network in a form that needs no Foveate.

    Args:
        onnx: An ONNX file to write; foveate predict takes it in place of the run, and needs no torch then.
        torch: A program to write as torch.export does (.pt2).
        web: One HTML page to write that classifies pictures offline, on a phone too.
        timm: A folder to write that timm loads by itself: model.safetensors and config.json.
        nearest: In the page, thumbnails of the nearest training pictures; whoever has the page can see them all.
        limit: Pictures of the run that the export is tried on; default: 1000.
    """
    from functools import partial

    from foveate.export import program
    from foveate.export.timm_folder import export_timm
    from foveate.export.web import export_web

    ways: dict[str, tuple[Path | None, Callable[..., ExportCard]]] = {
        "ONNX": (onnx, program.export_onnx), "torch program": (torch, program.export_torch),
        "page": (web, partial(export_web, nearest=nearest)), "timm folder": (timm, export_timm),
    }  # fmt: skip
    if not any(file for file, _ in ways.values()):
        raise ConfigError("Say what to write: --onnx FILE, --torch FILE, --web FILE or --timm FOLDER.")
    opened = open_run(run)
    for name, (file, write) in ways.items():
        if file is None:
            continue
        card = write(opened, file, limit=limit or program.TRIED)
        found = card.parity
        assert found is not None
        size = sum(part.stat().st_size for part in (file.iterdir() if file.is_dir() else [file]))
        say(f"{name}: ", file, f" ({size / 1e6:.1f} MB)")
        say(
            f"Tried on {found.pictures} pictures of the run: the same class in {found.agreement:.2%}, largest "
            f"difference of a probability {found.difference:.1e}."
        )

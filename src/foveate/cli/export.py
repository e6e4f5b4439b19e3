"""foveate export"""

from pathlib import Path

from foveate.cli.command import AtLeastOne, command
from foveate.cli.screen import open_run, say
from foveate.core.errors import ConfigError


@command()
def export(
    run: Path, *, onnx: Path | None = None, torch: Path | None = None, limit: AtLeastOne = None
) -> None:
    """Write a finished run's network in a form that needs no Foveate.

    Args:
        onnx: An ONNX file to write; foveate predict takes it in place of the run, and needs no torch then.
        torch: A program to write as torch.export does (.pt2).
        limit: Pictures of the run that the export is tried on; default: 1000.
    """
    from foveate.export import program

    ways = {"ONNX": (onnx, program.export_onnx), "torch program": (torch, program.export_torch)}
    if not any(file for file, _ in ways.values()):
        raise ConfigError("Say what to write: --onnx FILE or --torch FILE.")
    opened = open_run(run)
    for name, (file, write) in ways.items():
        if file is None:
            continue
        card = write(opened, file, limit=limit or program.TRIED)
        found = card.parity
        assert found is not None
        say(f"{name}: ", file, f" ({file.stat().st_size / 1e6:.1f} MB), {', '.join(card.outputs)}")
        say(
            f"Tried on {found.pictures} pictures of the run: the same class in {found.agreement:.2%}, largest "
            f"difference of a probability {found.difference:.1e}."
        )

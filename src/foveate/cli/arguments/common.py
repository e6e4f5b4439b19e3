"""Arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Argument(help="Folder of pictures, or a CSV manifest.", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]
Masks = Annotated[Path | None, typer.Option(help="Folder of masks, when it is not found by itself.")]
Group = Annotated[
    str | None,
    typer.Option(
        help="What must stay together: column:NAME, part:K of the path, or regex:PATTERN with one group."
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Quarantine = Annotated[
    bool, typer.Option("--quarantine", help="Leave out pictures with errors instead of refusing.")
]
Backbone = Annotated[
    str | None,
    typer.Option(help="Any timm network; default: the one of the weights file, else mobilenetv3_small_100."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Decode pictures again every epoch.")]
Tta = Annotated[
    str | None, typer.Option(help="Test-time augmentation: none, flip, flips, shifts, rotations or plants8.")
]

"""Arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Argument(help="Folder of pictures, or a CSV manifest.", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Quarantine = Annotated[
    bool, typer.Option("--quarantine", help="Leave out pictures with errors instead of refusing.")
]
RunOut = Annotated[
    Path,
    typer.Option(
        "--out", help="Run folder: new, or one that was stopped (then it goes on).", show_default=False
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option(help="YAML file with settings of an experiment; typed flags win over it.")
]
Tta = Annotated[
    str | None, typer.Option(help="Test-time augmentation: none, flip, flips, shifts, rotations or plants8.")
]

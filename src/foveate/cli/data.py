"""foveate data get"""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from foveate.cli.screen import guarded, out
from foveate.core.errors import ConfigError


@guarded
def get(
    name: Annotated[
        str, typer.Argument(help="The data set; without one, those that can be fetched are listed.")
    ] = "",
    to: Annotated[Path | None, typer.Option(help="The folder to fetch it into.", show_default=False)] = None,
) -> None:
    """Fetch a published data set through torchvision. No other command fetches pictures."""
    from foveate.data.layouts.download import FETCHED, download, find

    if not name:
        for key, layout in FETCHED.items():
            out.print(
                escape(f"{key:14}  {layout.name}; licence: {layout.licence}; {layout.page}"), soft_wrap=True
            )
        return
    layout = find(name)
    if to is None:
        raise ConfigError(f"Say where {layout.name} goes: foveate data get {name} --to FOLDER.")
    out.print(escape(f"{layout.name}: {layout.page}\nLicence: {layout.licence}."), soft_wrap=True)
    download(layout, to)
    out.print(escape(f"It is in {to}. Next: foveate check {to}"), soft_wrap=True)

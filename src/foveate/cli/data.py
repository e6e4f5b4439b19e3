"""foveate data get"""

from pathlib import Path

from foveate.cli.command import command
from foveate.cli.screen import say
from foveate.core.errors import ConfigError


@command()
def get(name: str = "", *, to: Path | None = None) -> None:
    """Fetch a published data set through torchvision. No other command fetches pictures.

    Args:
        name: The data set; without one, those that can be fetched are listed.
        to: The folder to fetch it into.
    """
    from foveate.data.layouts.download import FETCHED, download, find

    if not name:
        for key, layout in FETCHED.items():
            say(f"{key:14}  {layout.name}; licence: {layout.licence}; {layout.page}")
        return
    layout = find(name)
    if to is None:
        raise ConfigError(f"Say where {layout.name} goes: foveate data get {name} --to FOLDER.")
    say(f"{layout.name}: {layout.page}\nLicence: {layout.licence}.")
    download(layout, to)
    say(f"It is in {to}. Next: foveate check {to}")

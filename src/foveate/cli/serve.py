"""foveate app"""

import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from foveate.cli.apply import if_known
from foveate.cli.command import command
from foveate.cli.screen import open_run, say, tell, watched
from foveate.core.errors import DataError

Port = Annotated[int, typer.Option(min=0, max=65535)]


@command()
def app(
    run: Path, *, port: Port = 0, masks: Path | None = None, quick: bool = False, device: str = "auto"
) -> None:
    """Open a run as a page of this computer: answers, maps by every explainer, and masks drawn where it looks wrong.

    Args:
        port: Where the page is served, on this computer alone; default: a free one.
        masks: Folder that drawn masks are written into; default: beside the data, NAME-drawn.
        quick: Leave out how far pictures are from the training pictures, which are read once for that.
    """
    from foveate.app.drawn_masks import DrawnMasks
    from foveate.app.server import App
    from foveate.app.session import Session
    from foveate.evaluation.answering import LEVEL

    opened = open_run(run)
    _ = opened.result
    drawn = None
    try:
        drawn = DrawnMasks(opened, masks)
    except DataError as error:
        if masks is not None:
            raise
        tell(str(error))
    with watched() as screen:
        known = None if quick else if_known(lambda: opened.familiarity(device, screen.progress))
    level = LEVEL if if_known(opened.answer_rule) else None
    with TemporaryDirectory(prefix="foveate-") as folder:
        session = Session(opened, Path(folder), device, level, known, drawn)
        with App(session, port) as server:
            session.try_explainers()
            for number in (signal.SIGTERM, signal.SIGHUP):  # so that pictures that came in are taken away
                if signal.getsignal(number) is signal.SIG_DFL:  # nohup has it otherwise
                    signal.signal(number, signal.default_int_handler)
            say("Open ", (server.url, "bold"), " on this computer; Ctrl-C ends it.")
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                session.close()
                say("Stopped.")

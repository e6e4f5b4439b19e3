"""foveate explain"""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from foveate.cli.arguments import Device, RunFolder, Seed
from foveate.cli.flags import words
from foveate.cli.screen import fail, guarded, open_run, out, screen_observer
from foveate.core.errors import ConfigError

SHOWN = 12
"""Pictures listed on the screen; the sheet and the manifest list all."""


@guarded
def explain(
    run: RunFolder,
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Pictures or folders of pictures.", show_default=False)
    ] = None,
    method: Annotated[
        str, typer.Option(help="One or several, joined by commas (foveate list explainers).")
    ] = "gradcam",
    layers: Annotated[
        str,
        typer.Option(
            help="Where in the network: first, second, last, stage:K or a module, joined by commas."
        ),
    ] = "",
    target: Annotated[
        str, typer.Option(help="The class that is explained: predicted, true, or a class's name or id.")
    ] = "predicted",
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder: new, or one that was stopped. Default: RUN/explanations.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        str, typer.Option(help="More runs that explain the same pictures side by side, joined by commas.")
    ] = "",
    agreeing: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Instead of pictures: so many of the run's test, the first of each class that all runs name "
            "correctly.",
        ),
    ] = None,
    evidence: Annotated[
        str, typer.Option(help="Of signed maps: positive (for the class), or absolute (for and against).")
    ] = "positive",
    chunk: Annotated[
        int | None,
        typer.Option(min=1, help="Pictures in one pass, if memory is short; default: the method's."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of a method, as rise.masks=1000; may be repeated."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Show where a run looks: overlays, raw maps and contact sheets, by any method at any layer."""
    from foveate.api import explain_pictures

    opened, others = open_run(run), [open_run(Path(word)) for word in words(compare)]
    screen = screen_observer()
    try:
        done = explain_pictures(
            opened, paths or [], folder, words(method), words(layers),
            compare=others, agreeing=agreeing, device=device, observer=screen,
            target=target, evidence=evidence, chunk=chunk, seed=seed, settings=_settings(assignments or []),
        )  # fmt: skip
    except KeyboardInterrupt:
        out.print("Stopped; the pictures explained so far are kept, and the same command goes on.")
        raise SystemExit(130) from None
    finally:
        screen.close()
    manifest = done.manifest
    several = len(manifest["runs"]) > 1
    shown = Table(box=None, header_style="dim", pad_edge=False)
    shown.add_column("picture", overflow="fold")
    shown.add_column("true class")
    for entry in manifest["runs"]:
        shown.add_column(escape(entry["name"]) if several else "predicted")
        shown.add_column("p", justify="right")
    for picture in manifest["pictures"][:SHOWN]:
        cells = [escape(picture["path"]), escape(picture["label"] or "not known")]
        for answer in picture["answers"]:
            wrong = picture["label"] is not None and answer["prediction"] != picture["label"]
            name = escape(answer["prediction"])
            cells += [f"[red]{name}[/]" if wrong else name, f"{answer['probability']:.2f}"]
        shown.add_row(*cells)
    out.print(shown)
    count = len(manifest["pictures"])
    if count > SHOWN:
        out.print(f"and {count - SHOWN} more; all are in manifest.json", style="dim")
    for entry in manifest["runs"]:
        places = ", ".join(f"{name} = {path}" for name, path in entry["layers"].items() if name != path)
        if places:
            out.print(escape(f"layers of {entry['name']}: {places}"), style="dim", soft_wrap=True)
    maps = count * len(manifest["columns"])
    out.print(
        f"{maps} maps of {count} pictures: look at [bold]{escape(str(done.sheets[0]))}[/], or at overlays/ and "
        "maps/ beside it",
        soft_wrap=True,
    )
    unreadable = manifest["unreadable"]
    for entry in unreadable[:SHOWN]:
        out.print(f"[yellow]left out:[/] {escape(entry['reason'])}", soft_wrap=True)
    if unreadable:
        fail(
            f"{len(unreadable)} of {count + len(unreadable)} pictures cannot be read and are not explained; mend or "
            f"remove them and repeat the command. {done.folder / 'manifest.json'} lists them."
        )


def _settings(assignments: list[str]) -> dict[str, dict[str, object]]:
    """{method: {setting: value}} from ``method.setting=value``."""
    from foveate.experiment.specification import assign

    values: dict[str, dict[str, object]] = {}
    for assignment in assignments:
        method, dot, rest = assignment.partition(".")
        if not dot or "=" in method:
            raise ConfigError(f"--set takes method.setting=value, as rise.masks=1000, got '{assignment}'.")
        values[method] = assign(values.get(method, {}), rest)
    return values

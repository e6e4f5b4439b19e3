"""foveate explain"""

from pathlib import Path
from typing import Any

from foveate.cli.command import AtLeastOne, command
from foveate.cli.flags import assigned, words
from foveate.cli.screen import Cell, fail, open_run, say, show, table, watched
from foveate.core.errors import ConfigError

SHOWN = 12
"""Pictures listed on the screen; the sheet and the manifest list all."""


@command()
def explain(
    run: Path, paths: list[Path] | None = None, *, method: str = "gradcam", layers: str = "",
    target: str = "predicted", out: Path | None = None, compare: str = "", agreeing: AtLeastOne = None,
    evidence: str = "positive", chunk: AtLeastOne = None, set_: list[str] | None = None, seed: int = 0,
    device: str = "auto",
) -> None:  # fmt: skip
    """Show where a run looks: overlays, raw maps and contact sheets, by any method at any layer.

    Args:
        method: One or several, joined by commas (foveate list explainers).
        layers: Where in the network: first, second, last, stage:K or a module, joined by commas.
        target: The class that is explained: predicted, true, or a class's name or id.
        out: Folder: new, or one that was stopped. Default: RUN/explanations.
        compare: More runs that explain the same pictures side by side, joined by commas.
        agreeing: Instead of pictures: so many of the run's test, the first of each class that all runs name correctly.
        evidence: Of signed maps: positive (for the class), or absolute (for and against).
        chunk: Pictures in one pass, if memory is short; default: the method's.
        set_: A setting of a method, as rise.masks=1000; may be repeated.
    """
    from foveate import api

    for assignment in set_ or ():
        if "." not in assignment.partition("=")[0]:
            raise ConfigError(f"--set takes method.setting=value, as rise.masks=1000, got '{assignment}'.")
    opened, others = open_run(run), [open_run(Path(word)) for word in words(compare)]
    with watched(kept="the pictures explained so far") as screen:
        done = api.explain_pictures(
            opened, paths or [], out, words(method), words(layers),
            compare=others, agreeing=agreeing, device=device, observer=screen,
            target=target, evidence=evidence, chunk=chunk, seed=seed, settings=assigned(set_),
        )  # fmt: skip
    manifest = done.manifest
    runs, pictures = manifest["runs"], manifest["pictures"]
    titles = [(f"*{entry['name'] if len(runs) > 1 else 'predicted'}", "p") for entry in runs]
    show(table(("*picture", "*true class", *sum(titles, ())), map(_row, pictures[:SHOWN])))
    if len(pictures) > SHOWN:
        say(f"and {len(pictures) - SHOWN} more; all are in manifest.json", style="dim")
    for entry in runs:
        places = ", ".join(f"{name} = {path}" for name, path in entry["layers"].items() if name != path)
        if places:
            say(f"layers of {entry['name']}: {places}", style="dim")
    maps = len(pictures) * len(manifest["columns"])
    say(
        f"{maps} map{'s' * (maps != 1)} of {len(pictures)} picture{'s' * (len(pictures) != 1)}: look at ",
        done.sheets[0],
        ", or at overlays/ and maps/ beside it",
    )
    unreadable = manifest["unreadable"]
    for entry in unreadable[:SHOWN]:
        say(("left out:", "yellow"), f" {entry['reason']}")
    if unreadable:
        fail(
            f"{len(unreadable)} of {len(pictures) + len(unreadable)} pictures cannot be read and are not explained; "
            f"mend or remove them and repeat the command. {done.folder / 'manifest.json'} lists them."
        )


def _row(picture: dict[str, Any]) -> list[Cell]:
    label = picture["label"]
    row: list[Cell] = [picture["path"], label or "not known"]
    for answer in picture["answers"]:
        wrong = label is not None and answer["prediction"] != label
        row += [(answer["prediction"], "red" if wrong else ""), f"{answer['probability']:.2f}"]
    return row

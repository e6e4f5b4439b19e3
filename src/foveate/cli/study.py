"""foveate study run, foveate study show"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from foveate.cli.arguments import Quarantine
from foveate.cli.flags import FLAGS, LAYOUT, Typed, takes, with_flag
from foveate.cli.screen import fail, guarded, out
from foveate.core.errors import ConfigError

if TYPE_CHECKING:
    from foveate.studies.specification import Cell


@takes("backbone", "weights", "size", *LAYOUT, "set")
@guarded
def run(
    study: Annotated[
        str, typer.Argument(help="A study recipe (foveate list studies), or a YAML file.", show_default=False)
    ],
    folder: Annotated[
        Path,
        typer.Option("--out", help="The study's folder: new, or one that was stopped.", show_default=False),
    ],
    typed: Typed,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder of pictures, or a CSV manifest; for several sets again, each FOLDER or NAME=FOLDER; default: "
            "the sets that the study's file names."
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Random seeds 0 to N - 1; default: the study's.")] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="Only this arm and the baseline; may be repeated; default: all.")
    ] = None,
    block: Annotated[
        list[str] | None, typer.Option(help="Only this block; may be repeated; default: all.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=0, max=256, help="Cells trained at the same time.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Processor threads of each; default: all cores divided by jobs."),
    ] = None,
    quarantine: Quarantine = False,
) -> None:
    """Run every arm with every seed; finished cells are kept, and the same command goes on."""
    from foveate.studies.engine import run_study

    design = build_study(study, typed, seeds=seeds, only_arms=arm or [], only_blocks=block or [])
    one = (
        Path(data[0]) if data and len(data) == 1 and (Path(data[0]).exists() or "=" not in data[0]) else None
    )
    if one is not None:
        design = design.on({})
    elif data:
        design = design.on(_sets(data))
    elif not design.data:
        raise ConfigError("The study names no pictures; give --data FOLDER.")
    cells = design.cells()
    sizes = {
        "arms": len(design.arm_changes()), "blocks": len(design.blocks), "sets": len(design.data),
        "seeds": len(design.seeds), "folds": design.folds if design.split == "folds" else 0,
    }  # fmt: skip
    product = " x ".join(f"{size} {name}" for name, size in sizes.items() if size)
    out.print(f"[bold]{escape(design.name)}[/]: {product} = {len(cells)} cells")
    screen = _screen()
    try:
        run_study(design, one, folder, jobs=jobs, threads=threads, quarantine=quarantine, observer=screen)
    except KeyboardInterrupt:
        out.print("Stopped; finished cells are kept, and the same command goes on.")
        raise SystemExit(130) from None
    _show(folder)
    if screen.failures:
        count = len({cell.key for cell in cells})
        fail(f"{screen.failures} of {count} cells failed; the same command tries them again.")


def build_study(
    name: str, typed: Typed | None = None, *, seeds: int | None = None, only_arms: Sequence[str] = (),
    only_blocks: Sequence[str] = (),
) -> Any:  # fmt: skip
    """The study of a recipe's name or a YAML file, with the typed flags and ``--set`` laid over it.

    Args:
        typed: flags that change the base; what arms and blocks change stays theirs.
        only_arms: leave out the other arms; the baseline stays, and so does the study's order. Empty: all.
        only_blocks: leave out the other blocks. Empty: all.

    Raises:
        ConfigError: no such recipe, file, arm or block; a setting does not fit.
    """
    from foveate.experiment.specification import assign
    from foveate.models.weights import brings_backbone
    from foveate.recipes import STUDIES
    from foveate.studies.specification import Study

    if name in STUDIES:
        study = STUDIES[name]()
    elif Path(name).suffix in (".yaml", ".yml"):
        study = Study.from_yaml(Path(name))
    else:
        raise ConfigError(
            f"There is no study recipe '{name}'; choose one of {', '.join(STUDIES)}, or a YAML file."
        )
    typed = typed or {}
    values = study.to_dict()
    settings = {flag: value for flag, value in typed.items() if flag != "set"}
    if brings_backbone(settings.get("weights", "none")):
        settings.setdefault("backbone", None)
    for flag, value in settings.items():
        values["base"].pop(FLAGS[flag].places[0], None)  # a dotted name in the file would win
        values["base"] = with_flag(values["base"], flag, value)
    if seeds is not None:
        values["seeds"] = list(range(seeds))
    for assignment in typed.get("set", ()):
        values["base"].pop(assignment.partition("=")[0].removeprefix("base."), None)
        values = assign(values, assignment)
    whole = Study.from_dict(values, source=f"The study '{name}'")
    if only_arms:
        # Without its baseline the rest would silently be compared with another arm.
        keep = whole.baseline or next(iter(whole.arms), "")
        values["arms"] = _only(only_arms, whole.arms, "arm", keep)
    if only_blocks:
        values["blocks"] = _only(only_blocks, whole.blocks, "block")
    return Study.from_dict(values, source=f"The study '{name}'")


def _sets(given: Sequence[str]) -> dict[str, str]:
    """{name: folder} of FOLDER and NAME=FOLDER."""
    sets: dict[str, str] = {}
    for text in given:
        name, found, path = ("", "", text) if Path(text).exists() else text.partition("=")
        path, name = (path, name) if found else (text, Path(text).stem)
        if name in sets:
            raise ConfigError(f"--data: two sets are called '{name}'; name them apart with NAME=FOLDER.")
        sets[name] = path
    return sets


def _only(wanted: Sequence[str], known: dict[str, Any], what: str, keep: str = "") -> dict[str, Any]:
    """The entries of ``known`` that are ``wanted``, and ``keep``."""
    for name in wanted:
        if name not in known:
            choice = f"choose of {', '.join(known)}" if known else f"its {what}s have no names to choose by"
            raise ConfigError(f"--{what}: the study has no {what} '{name}'; {choice}.")
    return {name: changes for name, changes in known.items() if name in wanted or name == keep}


@guarded
def show(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder.", show_default=False)],
    trim: Annotated[
        str, typer.Option(help="Where mean curves end: shortest (with the first run that ended) or end.")
    ] = "shortest",
) -> None:
    """Print and write the tables of what is finished so far."""
    _show(folder, trim)


def _show(folder: Path, trim: str = "shortest") -> None:
    from foveate.cli.study_screen import show as print_tables
    from foveate.core import manifest
    from foveate.reporting.study_folder import measure_study, publish_study
    from foveate.studies.engine import folder_of
    from foveate.studies.study_reader import open_study

    if trim not in ("shortest", "end"):
        raise ConfigError(f"--trim takes shortest or end, got '{trim}'.")
    measured = measure_study(folder)
    print_tables(measured)
    places = {folder_of(folder, cell) for cell in open_study(folder).cells()}
    old = sum(manifest.unchecked(place) is not None for place in places)
    if old:
        out.print(
            f"{old} cells have no {manifest.MANIFEST}, so changes of their files since they finished cannot be seen.",
            style="yellow", soft_wrap=True,
        )  # fmt: skip
    report = publish_study(folder, trim=trim, measured=measured)  # type: ignore[arg-type]
    out.print(f"Report: [bold]{escape(str(report))}[/]", soft_wrap=True)


def _screen() -> Any:
    from foveate.studies.engine import StudyObserver

    class Screen(StudyObserver):
        def __init__(self) -> None:
            self.failures = 0

        def begin(self, total: int, kept: Sequence["Cell"], resumed: Sequence["Cell"]) -> None:
            for what, cells in (("are finished and kept", kept), ("go on from where they were", resumed)):
                if cells:
                    out.print(
                        escape(f"{len(cells)} of {total} cells {what}: {listed(cells)}."), soft_wrap=True
                    )

        def reused(self, cells: Sequence["Cell"]) -> None:
            out.print(
                escape(f"{len(cells)} cells were computed for another study and copied: {listed(cells)}."),
                soft_wrap=True,
            )

        def done(self, cell: "Cell", done: int, total: int, seconds_left: float) -> None:
            out.print(f"[{done}/{total}] {escape(str(cell))} · {_duration(seconds_left)} left", markup=False)

        def failed(self, cell: "Cell", error: str) -> None:
            self.failures += 1
            out.print(f"[bold red]failed[/] {escape(str(cell))}: {escape(error)}", soft_wrap=True)

        def message(self, text: str) -> None:
            out.print(escape(text), style="dim")

    return Screen()


def listed(cells: Sequence["Cell"]) -> str:
    """Cells by block and arm, with their seeds."""
    seeds: dict[str, list[str]] = {}
    for cell in cells:
        name = ", ".join(part for part in (cell.block, cell.arm) if part)
        seeds.setdefault(name, []).append(str(cell.seed))
    return "; ".join(
        f"{name} (seed{'s' if len(numbers) > 1 else ''} {', '.join(numbers)})"
        for name, numbers in seeds.items()
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"

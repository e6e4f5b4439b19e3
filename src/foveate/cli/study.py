"""foveate study run, foveate study show"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from foveate.cli.screen import guarded, out
from foveate.core.errors import ConfigError


@guarded
def run(
    name: str, data: Path, folder: Path, *, backbone: str | None, weights: str | None, size: int | None,
    seeds: int | None, only_arms: Sequence[str], only_blocks: Sequence[str], jobs: int, threads: int | None,
    quarantine: bool, assignments: Sequence[str],
) -> None:  # fmt: skip
    """Compute the cells, then print the table."""
    from foveate.studies.engine import run_study

    study = build_study(
        name, backbone=backbone, weights=weights, size=size, seeds=seeds, only_arms=only_arms,
        only_blocks=only_blocks, assignments=assignments,
    )  # fmt: skip
    cells = study.cells()
    arms = len(study.arm_changes())
    blocks = f" x {len(study.blocks)} blocks" if study.blocks else ""
    out.print(
        f"[bold]{escape(study.name)}[/]: {arms} arms{blocks} x {len(study.seeds)} seeds = {len(cells)} cells"
    )
    try:
        run_study(study, data, folder, jobs=jobs, threads=threads, quarantine=quarantine, observer=_screen())
    except KeyboardInterrupt:
        out.print("Stopped; finished cells are kept, and the same command goes on.")
        raise SystemExit(130) from None
    _show(folder)


def build_study(
    name: str, *, backbone: str | None = None, weights: str | None = None, size: int | None = None,
    seeds: int | None = None, only_arms: Sequence[str] = (), only_blocks: Sequence[str] = (),
    assignments: Sequence[str] = (),
) -> Any:  # fmt: skip
    """The study of a recipe's name or a YAML file, with the flags and ``--set`` laid over it.

    Args:
        only_arms: leave out the other arms; the baseline stays, and so does the study's order. Empty: all.
        only_blocks: leave out the other blocks. Empty: all.

    Raises:
        ConfigError: no such recipe, file, arm or block; a setting does not fit.
    """
    from foveate.experiment.specification import assign, merge
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
    values = study.to_dict()
    model: dict[str, Any] = {}
    if weights is not None:
        model["weights"] = weights
        # A weights file brings its own network; its card names it.
        model["backbone"] = None if weights not in ("pretrained", "none") else study.base["model"]["backbone"]
    if backbone is not None:
        model["backbone"] = backbone
    changes: dict[str, Any] = {"model": model} if model else {}
    if size is not None:
        changes["data"] = {"size": size}
    values["base"] = merge(values["base"], changes)
    if seeds is not None:
        values["seeds"] = list(range(seeds))
    for assignment in assignments:
        values = assign(values, assignment)
    whole = Study.from_dict(values, source=f"The study '{name}'")
    if only_arms:
        # Without its baseline the rest would silently be compared with another arm.
        keep = whole.baseline or next(iter(whole.arms), "")
        values["arms"] = _only(only_arms, whole.arms, "arm", keep)
    if only_blocks:
        values["blocks"] = _only(only_blocks, whole.blocks, "block")
    return Study.from_dict(values, source=f"The study '{name}'")


def _only(wanted: Sequence[str], known: dict[str, Any], what: str, keep: str = "") -> dict[str, Any]:
    """The entries of ``known`` that are ``wanted``, and ``keep``."""
    for name in wanted:
        if name not in known:
            choice = f"choose of {', '.join(known)}" if known else f"its {what}s have no names to choose by"
            raise ConfigError(f"--{what}: the study has no {what} '{name}'; {choice}.")
    return {name: changes for name, changes in known.items() if name in wanted or name == keep}


@guarded
def show(folder: Path, trim: str) -> None:
    """Print what is measured so far, and write tables, figures and report."""
    _show(folder, trim)


def _show(folder: Path, trim: str = "shortest") -> None:
    from foveate.cli.study_screen import show as print_tables
    from foveate.reporting.study_folder import measure_study, publish_study

    if trim not in ("shortest", "end"):
        raise ConfigError(f"--trim takes shortest or end, got '{trim}'.")
    print_tables(measure_study(folder))
    report = publish_study(folder, trim=trim)  # type: ignore[arg-type]
    out.print(f"Report: [bold]{escape(str(report))}[/]", soft_wrap=True)


def _screen() -> Any:
    from foveate.studies.engine import StudyObserver
    from foveate.studies.specification import Cell

    class Screen(StudyObserver):
        def begin(self, total: int, finished: int, reused: int) -> None:
            if finished:
                more = f", {reused} of them computed for another study" if reused else ""
                out.print(f"{finished} of {total} cells are there already{more}.")

        def done(self, cell: Cell, done: int, total: int, seconds_left: float) -> None:
            out.print(f"[{done}/{total}] {escape(str(cell))} · {_duration(seconds_left)} left", markup=False)

        def failed(self, cell: Cell, error: str) -> None:
            out.print(f"[bold red]failed[/] {escape(str(cell))}: {escape(error)}", soft_wrap=True)

        def message(self, text: str) -> None:
            out.print(escape(text), style="dim")

    return Screen()


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"

"""foveate study run, foveate study show, foveate plan, foveate tune"""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from foveate.cli.command import AtLeastOne, command
from foveate.cli.flags import FLAGS, LAYOUT, Typed, assigned, build_experiment, with_flag
from foveate.cli.screen import fail, say, stoppable, table, watched
from foveate.cli.screen import show as show_tables
from foveate.core.errors import ConfigError

LEFT = 3
"""Exit status when the time limit has passed and cells are left."""


@command("backbone", "weights", "size", "split", *LAYOUT, "set")
def run(
    study: str, *, out: Path, typed: Typed, data: list[str] | None = None, seeds: int | None = None,
    guide: list[str] | None = None, arm: list[str] | None = None, block: list[str] | None = None,
    time_limit: Annotated[float | None, typer.Option(min=0.01)] = None,
    jobs: Annotated[int | None, typer.Option(min=0, max=4096)] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=1024)] = None, ray: str | None = None,
    gpus: Annotated[float, typer.Option(min=0)] = 0, quarantine: bool = False,
) -> None:  # fmt: skip
    """Run every arm with every seed; finished cells are kept, and the same command goes on.

    Exit status 0 when all is done, 1 when a cell failed, 3 when the time limit has left some.

    Args:
        study: A study recipe (foveate list studies), or a YAML file.
        out: The study's folder: new, or one that was stopped.
        data: Folder of pictures, or a CSV manifest; for several sets again, each FOLDER or NAME=FOLDER; default: the
            sets that the study's file names.
        seeds: Random seeds 0 to N - 1; default: the study's.
        guide: Compare no guide with this one and its placebo, in place of the study's arms; may be repeated (foveate
            list guides).
        arm: Only this arm and the baseline; may be repeated; default: all.
        block: Only this block; may be repeated; default: all.
        time_limit: Minutes after which no cell is begun; what is at work is finished.
        jobs: Cells trained at the same time; default: 1, with --ray as many as fit.
        threads: Processor threads of each; default: all cores divided by jobs, with --ray those of the smallest node.
        gpus: With --ray: accelerators of each cell; 0.5 lets two share one.
    """
    from foveate.cli.study_screen import Screen
    from foveate.studies.engine import run_study

    design = build_study(
        study, typed, seeds=seeds, guides=guide or [], only_arms=arm or [], only_blocks=block or []
    )
    one = None
    if data and len(data) == 1 and (Path(data[0]).exists() or "=" not in data[0]):
        one, design = Path(data[0]), design.on({})
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
    say((design.name, "bold"), f": {product} = {len(cells)} cells")
    screen = Screen()
    with stoppable("finished cells"):
        run_study(
            design, one, out, jobs=jobs, threads=threads, quarantine=quarantine, observer=screen, time_limit=time_limit,
            ray=ray, gpus=gpus,
        )  # fmt: skip
    count = len({cell.key for cell in cells})
    if screen.left + screen.failures < count:
        show(folder=out, trim="shortest")
    if screen.failures:
        fail(f"{screen.failures} of {count} cells failed; the same command tries them again.")
    if screen.left:
        say(f"The time limit has passed with {screen.left} of {count} cells left; the same command goes on.")
        raise typer.Exit(LEFT)


def build_study(
    name: str, typed: Typed | None = None, *, seeds: int | None = None, guides: Sequence[str] = (),
    only_arms: Sequence[str] = (), only_blocks: Sequence[str] = (),
) -> Any:  # fmt: skip
    """The study of a recipe's name or a YAML file, with the typed flags and ``--set`` laid over it.

    Args:
        typed: flags that change the base; what arms and blocks change stays theirs.
        guides: none against these takes the place of the study's arms.
        only_arms: leave out the other arms; the baseline stays, and so does the study's order. Empty: all.
        only_blocks: leave out the other blocks. Empty: all.

    Raises:
        ConfigError: no such recipe, file, arm or block; a setting does not fit.
    """
    from foveate.models.weights import brings_backbone
    from foveate.recipes import STUDIES
    from foveate.studies.guides import with_guides
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
    if guides:
        values |= {"axes": {}, "baseline": "", "primary_arm": ""}
        values["arms"] = {guide: {"guide": guide} for guide in ("none", *guides)}
    values["arms"] = with_guides(values["arms"])
    if "split" in (typed or {}) and values["split"] == "per_seed":
        values["split"] = "shared"  # a file is one split for all seeds
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
        values = assigned([assignment], values)
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


@command()
def show(
    folder: Annotated[Path, typer.Argument(metavar="STUDY")], *, trim: str = "shortest", all: bool = False
) -> None:
    """Print and write what is finished so far: the primary metric first, and what of it is for a paper.

    Args:
        folder: A study's folder.
        trim: Where mean curves end: shortest (with the first run that ended) or end.
        all: Every table and verdict on the screen.
    """
    from foveate.cli.study_screen import show as print_tables
    from foveate.cli.study_screen import show_next
    from foveate.core import manifest
    from foveate.reporting.study_folder import measure_study, publish_study
    from foveate.studies.engine import folder_of
    from foveate.studies.study_reader import open_study

    if trim not in ("shortest", "end"):
        raise ConfigError(f"--trim takes shortest or end, got '{trim}'.")
    measured = measure_study(folder)
    print_tables(measured, folder, everything=all)
    places = {folder_of(folder, cell) for cell in open_study(folder).cells()}
    old = sum(manifest.unchecked(place) is not None for place in places)
    if old:
        said = f"{old} cells have no {manifest.MANIFEST}, so changes of their files since they finished cannot be seen."
        say(said, style="yellow")
    report = publish_study(folder, trim=trim, measured=measured)  # type: ignore[arg-type]
    figure = folder / "figures" / "primary.pdf"
    if figure.is_file():
        say(
            "For the paper: ",
            figure,
            " (.svg, .png), its caption, sentences for Methods and Results: ",
            folder / "paper.md",
        )
    say("Report: ", report)
    show_next(measured, folder)


@command()
def final(
    folder: Annotated[Path, typer.Argument(metavar="STUDY")], *, out: Path, arm: str = "", block: str = "",
    quarantine: bool = False,
) -> None:  # fmt: skip
    """Train an arm's settings once more, on all pictures: the network to use, of which the study says what to expect.

    Args:
        folder: A study's folder.
        out: Run folder: new, or one that was stopped.
        arm: Which arm; default: the one with the highest mean accuracy on the validation pictures, placebos aside.
        block: Name of the table, where the study has blocks or sets.
    """
    from foveate.core import manifest
    from foveate.reporting.report import build_report
    from foveate.reporting.study_folder import publish_study
    from foveate.studies.network_to_use import EXPECTED, EXPECTED_INTERVAL, train_final

    with watched() as screen:
        run = train_final(folder, out, arm, block, quarantine=quarantine, observer=screen)
    build_report(run.folder)
    publish_study(folder)
    decided = {d["name"]: d for d in run.environment["decisions"]}
    expected, interval = decided[EXPECTED], decided.get(EXPECTED_INTERVAL)
    if expected["value"] is not None:
        ends = ""
        if interval:
            low, high = (100 * end for end in interval["value"])
            ends = f" (95 % interval {low:.1f} to {high:.1f}, {interval['reason']})"
        say(f"Expect an accuracy of {100 * expected['value']:.1f} %{ends}: {expected['reason']}.")
    say("Network: ", run.folder / manifest.WEIGHTS)
    say(f"Next: foveate predict {shlex.quote(str(run.folder))} NEW --out predictions.csv")


@command()
def plan(
    *, pictures: int, seeds: int = 5, accuracy: float = 0.9, spread: float | None = None, correlation: float = 0.7,
    arms: int = 1, difference: float | None = None, margin: float | None = None, json: Path | None = None,
) -> None:  # fmt: skip
    """Before the work: which gain in accuracy can a comparison show, or what does it take to show one.

    Args:
        pictures: Test pictures of one run.
        seeds: Random seeds, each one a pair of runs.
        accuracy: Expected accuracy of the baseline, a share.
        spread: Standard deviation over seeds of the paired difference, a share; default: from the pictures.
        correlation: How far two networks are right on the same pictures, 0 to 1.
        arms: Arms that are compared with the baseline (Holm).
        difference: Ask what it takes to show this gain, a share: 0.03 is 3 points.
        margin: Ask how many seeds it takes to show that an arm is not worse by more than this share.
    """
    from foveate.core.files import write_json
    from foveate.studies.power import margin_reading, reading
    from foveate.studies.power import plan as make

    made = make(
        pictures, seeds, accuracy, spread=spread, correlation=correlation, arms=arms, difference=difference,
        margin=margin,
    )  # fmt: skip
    asked = () if difference is None else (f"{difference * 100:.1f} points: pictures", "or seeds")
    rows = []
    for design in made.designs:
        gain = "none" if design.detectable is None else f"{design.detectable * 100:.1f} points"
        needed = ["-" if number is None else str(number) for number in (design.pictures, design.seeds)]
        rows.append((design.name, gain, *needed[: len(asked)]))
    show_tables(table(("*two arms, compared by", "show a gain of", *asked), rows))
    origin = "given" if made.spread_given else "from the test pictures alone; a pilot's may be larger"
    say(
        f"One run at {made.accuracy * 100:.1f} %: 95 % interval {made.low * 100:.1f} to {made.high * 100:.1f} %. "
        f"Spread of the difference over seeds: {made.spread * 100:.1f} points ({origin}). "
        f"Power {made.power:g}, alpha {made.alpha:g}" + (f" / {arms} arms." if arms > 1 else "."),
        style="dim",
    )
    said = [text for text in (reading(made), margin_reading(made)) if text]
    for text in said:
        say(text)
    if json is not None:
        write_json(json, {**asdict(made), "reading": " ".join(said)})


@command("backbone", "weights", "size", "guide", "split", *LAYOUT, "seed", "device", "set")
def tune(
    data: Path, *, out: Path, config: Path, typed: Typed, trials: AtLeastOne = None,
    jobs: Annotated[int, typer.Option(min=1, max=256)] = 1, storage: str | None = None, quarantine: bool = False,
) -> None:  # fmt: skip
    """Search for good settings on the validation pictures; the test pictures are left alone.

    Args:
        out: The search's folder: new, or one that was stopped.
        config: YAML file: experiment (as for train), space, metric, trials ...
        trials: How many trials; default: the file's, else 20.
        jobs: Trials at the same time, each in its own process.
        storage: URL of a database that several machines share; default: SQLite in the folder.
    """
    from foveate.cli.tune_screen import Screen, show_ranking
    from foveate.core.config import parse
    from foveate.core.reading import read_yaml
    from foveate.recipes import finetune
    from foveate.studies.search import Search
    from foveate.studies.tune import tune as search_for

    values = read_yaml(config)
    if trials is not None:
        values["trials"] = trials
    search = parse(Search, values, source=str(config))
    ranking = search_for(
        search, build_experiment(finetune, typed, search.experiment), data, out, storage=storage or "", jobs=jobs,
        quarantine=quarantine, make_observer=partial(Screen, bars=jobs == 1),
    )  # fmt: skip
    show_ranking(ranking, data, out, quarantine)
    failed = len(ranking.of("failed"))
    if failed:
        fail(f"{failed} of {len(ranking.entries)} trials failed; the others are ranked above.")

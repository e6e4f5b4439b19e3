"""foveate masks propose, foveate masks compare"""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from foveate.cli.arguments import Data, Device
from foveate.cli.flags import LAYOUT, Typed, layout_of, takes
from foveate.cli.screen import fail, guarded, open_run, out, screen_observer
from foveate.core.errors import ConfigError

SHOWN = 10
"""Failed pictures named on the screen; the table names all."""


@takes(*LAYOUT)
@guarded
def propose(
    data: Data,
    folder: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Folder of the masks: new, or one that was begun (then it goes on).",
            show_default=False,
        ),
    ],
    typed: Typed,
    prior: Annotated[
        str,
        typer.Option(
            help="Where the object is expected: centre, box, class-map, or auto (boxes if any, else a run's class map "
            "if given, else the centre)."
        ),
    ] = "auto",
    run: Annotated[Path | None, typer.Option(help="A finished run, for the prior class-map.")] = None,
    share: Annotated[float, typer.Option(help="Area of the centre prior, as a share of the picture.")] = 0.5,
    iterations: Annotated[int, typer.Option(help="Rounds of GrabCut.")] = 5,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many pictures, spread evenly over the set.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also pictures that have a mask already.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace masks proposed with other settings; edited ones are always kept."
        ),
    ] = False,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="One more setting (see docs/masks.md), as side=384; may be repeated."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Propose masks with GrabCut: a tree of PNG files, a table of the doubtful, and a sheet to review them."""
    from foveate.api import propose_masks
    from foveate.core.config import parse
    from foveate.data.grabcut import ProposeConfig
    from foveate.experiment.mask_proposals import EMPTY, FAILED, TABLE
    from foveate.experiment.specification import assign

    values = {"prior": prior, "share": share, "iterations": iterations}
    for assignment in assignments or []:
        values = assign(values, assignment)
    config = parse(ProposeConfig, values, source="The command line")
    opened = None if run is None else open_run(run)
    screen = screen_observer()
    try:
        proposals = propose_masks(
            data, folder, config, run=opened, layout=layout_of(typed), everything=everything, limit=limit,
            overwrite=overwrite, device=device, observer=screen,
        )  # fmt: skip
    except KeyboardInterrupt:
        out.print("Stopped; the masks made so far are kept, and the same command goes on.")
        raise SystemExit(130) from None
    finally:
        screen.close()
    states = Counter(proposal.state for proposal in proposals)
    doubtful = sum(proposal.state == "proposed" and bool(proposal.doubt) for proposal in proposals)
    priors = Counter(proposal.prior for proposal in proposals if proposal.state == "proposed")
    used = ", ".join(f"{count} from {name}" for name, count in priors.items())
    out.print(f"{states['proposed']} masks ({used or 'none'}), {doubtful} of them doubtful")
    if states["edited"]:
        out.print(f"{states['edited']} masks were drawn or edited by hand and are kept")
    missing = [proposal for proposal in proposals if proposal.state in (EMPTY, FAILED)]
    if missing:
        out.print(f"[yellow]{len(missing)} pictures without a mask:[/]")
        for proposal in missing[:SHOWN]:
            out.print(f"  {escape(proposal.path)}: {escape(proposal.doubt)}", soft_wrap=True)
        if len(missing) > SHOWN:
            out.print(f"  and {len(missing) - SHOWN} more in {TABLE}")
    out.print(
        f"Look at [bold]{escape(str(folder / 'review.html'))}[/], the doubtful first; then use them with "
        f"--masks {escape(str(folder))}",
        soft_wrap=True,
    )
    if states[FAILED]:
        fail(
            f"{states[FAILED]} of {len(proposals)} pictures could not be worked on; the others have their masks."
        )


@takes(*LAYOUT)
@guarded
def compare(
    data: Data,
    proposed: Annotated[Path, typer.Argument(help="Folder of proposed masks.", show_default=False)],
    typed: Typed,
    values: Annotated[
        str | None,
        typer.Option(help="Grey values of the known masks that are object, as 128,255; default: not 0."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--out", help="Also write one row a picture here (CSV).")
    ] = None,
) -> None:
    """How well proposed masks agree with known ones, beside controls that need no method."""
    from foveate.api import compare_masks

    chosen = None
    if values is not None:
        if not all(value.strip().isdecimal() for value in values.split(",")):
            raise ConfigError(f"--values takes grey values joined by commas, as 128,255, got '{values}'.")
        chosen = tuple(int(value) for value in values.split(","))
    comparison = compare_masks(data, proposed, layout_of(typed).model_copy(update={"mask_values": chosen}))
    shown = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("masks", "IoU mean", "median", "quartiles", "IoU >= 0.5", "precision", "recall"):
        shown.add_column(title, justify="left" if title == "masks" else "right")
    for row in comparison.summary():
        shown.add_row(
            str(row["masks"]), f"{row['iou_mean']:.3f}", f"{row['iou_median']:.3f}",
            f"{row['iou_q1']:.3f} to {row['iou_q3']:.3f}", f"{row['share_iou_50']:.0%}",
            f"{row['precision_median']:.3f}", f"{row['recall_median']:.3f}",
        )  # fmt: skip
    out.print(shown)
    out.print(
        f"{len(comparison.paths)} pictures with a known mask, {comparison.missing} of them without a proposed one "
        "(IoU 0); precision and recall are medians", style="dim", soft_wrap=True,
    )  # fmt: skip
    if comparison.untried:
        out.print(f"{comparison.untried} pictures were not proposed for and are left out", style="dim")
    if comparison.empty:
        out.print(f"{comparison.empty} known masks are empty and left out", style="dim")
    if file is not None:
        comparison.to_csv(file)
        out.print(f"One row a picture in [bold]{escape(str(file))}[/]")

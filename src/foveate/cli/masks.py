"""foveate masks propose, foveate masks compare"""

from collections import Counter
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from foveate.cli.flags import Typed, layout_of
from foveate.cli.screen import fail, guarded, open_run, out, screen_observer
from foveate.core.config import parse
from foveate.core.errors import ConfigError

SHOWN = 10
"""Failed pictures named on the screen; the table names all."""


@guarded
def propose(
    data: Path, folder: Path, typed: Typed, *, prior: str, run: Path | None, share: float, iterations: int,
    limit: int | None, everything: bool, overwrite: bool, assignments: list[str], device: str,
) -> None:  # fmt: skip
    """Propose masks and say what to look at."""
    from foveate.api import propose_masks
    from foveate.data.propose import ProposeConfig
    from foveate.experiment.propose import EMPTY, FAILED, TABLE
    from foveate.experiment.specification import assign

    values = {"prior": prior, "share": share, "iterations": iterations}
    for assignment in assignments:
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


@guarded
def compare(data: Path, proposed: Path, typed: Typed, *, values: str | None, file: Path | None) -> None:
    """Print IoU, precision and recall beside the controls."""
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

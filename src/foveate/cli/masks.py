"""foveate masks propose, foveate masks compare"""

from collections import Counter
from pathlib import Path

from foveate.cli.command import AtLeastOne, command
from foveate.cli.flags import LAYOUT, Typed, assigned, layout_of, numbers
from foveate.cli.screen import fail, open_run, say, show, table, watched
from foveate.core.errors import ConfigError

SHOWN = 10
"""Failed pictures named on the screen; the table names all."""


@command("backbone", "weights", *LAYOUT)
def propose(
    data: Path, *, out: Path, typed: Typed, prior: str = "auto", from_masks: bool = False,
    run: Path | None = None, share: float = 0.5, iterations: int = 5, limit: AtLeastOne = None, all_: bool = False,
    overwrite: bool = False, set_: list[str] | None = None, device: str = "auto",
) -> None:  # fmt: skip
    """Propose masks with GrabCut or from a few drawn ones: files, a table of the doubtful, a sheet to review.

    Args:
        out: Folder of the masks: new, or one that was begun (then it goes on).
        prior: Where the object is expected: centre, box, class-map, masks (see --from-masks), or auto (boxes if any,
            else a run's class map if given, else the centre).
        from_masks: Learn from the masks that are there what is object, and propose it for all others (no GrabCut).
        run: A finished run, for the prior class-map or for --from-masks.
        share: Area of the centre prior, as a share of the picture.
        iterations: Rounds of GrabCut.
        all_: Also pictures that have a mask already.
        overwrite: Replace masks proposed with other settings; edited ones are always kept.
        set_: One more setting (see docs/settings.md), as side=384; may be repeated.
    """
    from foveate import api
    from foveate.core.config import parse
    from foveate.data.annotations import only_boxes
    from foveate.data.discover import discover
    from foveate.data.grabcut import ProposeConfig
    from foveate.experiment.mask_proposals import EMPTY, FAILED, TABLE

    if from_masks and prior not in ("auto", "masks"):
        raise ConfigError(f"--from-masks takes no other prior; leave --prior {prior} or --from-masks out.")
    values = assigned(
        set_, {"prior": "masks" if from_masks else prior, "share": share, "iterations": iterations}
    )
    config = parse(ProposeConfig, values, source="The command line")
    known = discover(data, layout_of(typed)).catalog
    drawn = any(sample.mask and not only_boxes(known.root, sample.mask) for sample in known.samples)
    before = typed.get("masks", ["auto"]) if drawn and not all_ else []  # drawn masks win
    opened = None if run is None else open_run(run)
    with watched(kept="the masks made so far") as screen:
        proposals = api.propose_masks(
            data, out, config, run=opened, weights=typed.get("weights"), backbone=typed.get("backbone"),
            layout=layout_of(typed), everything=all_, limit=limit, overwrite=overwrite, device=device, observer=screen,
        )  # fmt: skip
    states = Counter(proposal.state for proposal in proposals)
    proposed = [proposal for proposal in proposals if proposal.state == "proposed"]
    doubtful = sum(bool(proposal.doubt) for proposal in proposed)
    priors = Counter(proposal.prior for proposal in proposed)
    used = ", ".join(f"{count} from {name}" for name, count in priors.items())
    say(f"{states['proposed']} masks ({used or 'none'}), {doubtful} of them doubtful")
    if states["edited"]:
        say(f"{states['edited']} masks were drawn or edited by hand and are kept")
    missing = [proposal for proposal in proposals if proposal.state in (EMPTY, FAILED)]
    if missing:
        say(f"Pictures without a mask: {len(missing)}", style="yellow")
        for proposal in missing[:SHOWN]:
            say(f"  {proposal.path}: {proposal.doubt}")
        if len(missing) > SHOWN:
            say(f"  and {len(missing) - SHOWN} more in {TABLE}")
    used_with = " ".join(f"--masks {place}" for place in (*before, out))
    say("Look at ", out / "review.html", f", the doubtful first; then use them with {used_with}")
    if states[FAILED]:
        fail(
            f"{states[FAILED]} of {len(proposals)} pictures could not be worked on; the others have their masks."
        )


@command(*LAYOUT)
def compare(
    data: Path, proposed: Path, *, typed: Typed, values: str | None = None, out: Path | None = None
) -> None:
    """How well proposed masks agree with known ones, beside controls that need no method.

    Args:
        proposed: Folder of proposed masks.
        values: Grey values of the known masks that are object, as 128,255; default: not 0.
        out: Also write one row a picture here (CSV).
    """
    from foveate import api

    chosen = None
    if values is not None:
        chosen = tuple(numbers(values, "--values takes grey values joined by commas, as 128,255"))
    found = api.compare_masks(data, proposed, layout_of(typed).model_copy(update={"mask_values": chosen}))
    titles = ("*masks", "IoU mean", "median", "quartiles", "IoU >= 0.5", "precision", "recall")
    rows = [
        (
            str(row["masks"]), f"{row['iou_mean']:.3f}", f"{row['iou_median']:.3f}",
            f"{row['iou_q1']:.3f} to {row['iou_q3']:.3f}", f"{row['share_iou_50']:.0%}",
            f"{row['precision_median']:.3f}", f"{row['recall_median']:.3f}",
        )
        for row in found.summary()
    ]  # fmt: skip
    show(table(titles, rows))
    say(
        f"{len(found.paths)} pictures with a known mask, {found.missing} of them without a proposed one "
        "(IoU 0); precision and recall are medians",
        style="dim",
    )
    if found.untried:
        say(f"{found.untried} pictures were not proposed for and are left out", style="dim")
    if found.empty:
        say(f"{found.empty} known masks are empty and left out", style="dim")
    if out is not None:
        found.to_csv(out)
        say("One row a picture in ", out)

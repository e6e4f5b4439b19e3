"""Contact sheets of proposed masks: every picture with its mask's outline, the doubtful first; HTML that needs nothing
else."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.errors import DataError
from foveate.core.files import write_text
from foveate.data.catalog import Catalog
from foveate.data.decode import load_image, read_image, upright
from foveate.data.grabcut import FAINT
from foveate.experiment.mask_proposals import EDITED, EMPTY, FAILED, PROPOSED, Proposal
from foveate.reporting.page import render_page
from foveate.reporting.pictures import gallery_picture

PER_PAGE = 200
"""Pictures on one page: about 2 MB."""
SIDE = 170
"""Longest side of a picture on the sheet in pixels."""

_ORDER = (FAILED, EMPTY, PROPOSED, EDITED)


def by_doubt(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Failed and empty ones first, then the proposed with the most reasons for doubt, then by rising contrast."""

    def rank(proposal: Proposal) -> tuple[int, int, float, str]:
        reasons = len(proposal.doubt.split("; ")) if proposal.doubt else 0
        faint = -1.0 if proposal.contrast is None else proposal.contrast
        return _ORDER.index(proposal.state), -reasons, faint, proposal.path

    return sorted(proposals, key=rank)


def build_contact_sheets(catalog: Catalog, proposals: Sequence[Proposal], out: Path) -> list[Path]:
    """Write ``review.html`` into the folder of the proposals, and ``review-2.html`` ... where there are many.

    Args:
        catalog: the pictures.
        proposals: what ``propose_masks`` returned.
        out: the folder of the masks.
    """
    file_of = {sample.path: catalog.file(row) for row, sample in enumerate(catalog.samples)}
    ordered = by_doubt(proposals)
    pages = [ordered[i : i + PER_PAGE] for i in range(0, len(ordered), PER_PAGE)]
    names = ["review.html", *(f"review-{number}.html" for number in range(2, len(pages) + 1))]
    states = Counter(proposal.state for proposal in proposals)
    doubtful = sum(proposal.state == PROPOSED and bool(proposal.doubt) for proposal in proposals)
    for number, (name, page) in enumerate(zip(names, pages, strict=True)):
        context = {
            "title": catalog.root.name, "cards": [_card(proposal, file_of[proposal.path], out) for proposal in page],
            "names": names, "number": number, "total": len(proposals), "states": states, "doubtful": doubtful,
            "faint": FAINT,
        }  # fmt: skip
        write_text(out / name, render_page("contact.html.j2", context))
    return [out / name for name in names]


def _card(proposal: Proposal, file: Path, out: Path) -> dict[str, Any]:
    picture, trouble = None, ""
    try:
        image = np.asarray(read_image(file, at_least=2 * SIDE))
        picture = gallery_picture(image, _mask(out / proposal.mask) if proposal.mask else None, None, SIDE)
    except DataError as error:
        trouble = str(error)
    return {"proposal": proposal, "picture": picture, "trouble": "" if proposal.doubt else trouble}


def _mask(path: Path) -> np.ndarray:
    with load_image(path) as image:
        return np.where(np.asarray(upright(image).convert("L")) > 0, np.uint8(255), np.uint8(0))

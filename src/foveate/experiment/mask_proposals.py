"""Masks for the pictures that have none: a catalog -> a tree of PNG masks and a table of what to look at.

The tree mirrors the pictures (``OUT/<class>/<stem>.png``), so that ``--masks OUT`` finds it. Every file carries how it
was made. Hence a killed command goes on with what is missing, nothing drawn by hand is ever written over, and masks of
different settings do not mix.
"""

import hashlib
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import PngImagePlugin

from foveate.core.config import parse
from foveate.core.errors import ConfigError, DataError, RunError
from foveate.core.files import sha256_of_file, write_bytes, write_csv
from foveate.core.reading import parse_json, read_csv
from foveate.data.annotations import MaskReference, only_boxes
from foveate.data.annotations.proposed import CHUNK, digest
from foveate.data.catalog import Catalog, Sample
from foveate.data.decode import load_image, open_image
from foveate.data.grabcut import USED, ProposeConfig, opencv, to_picture
from foveate.data.mask_matching import mirrored
from foveate.data.mask_search import PROPOSALS as TABLE
from foveate.evaluation.subject import pick_device
from foveate.experiment.learned_masks import LearnedMasks, digest_of_sources
from foveate.experiment.picture_cut import ClassMaps, cut_picture
from foveate.experiment.records import Record
from foveate.experiment.run_folder import RunFolder
from foveate.models.networks import Network
from foveate.training import Observer
from foveate.training.time_needed import FirstPictures

COLUMNS = ("path", "mask", "state", "prior", "share", "contrast", "doubt")
TIMED = 8
"""Pictures by whose time that of all is foretold."""
TREE_NAMES = ("masks", "mask", "segmentations", "segmentation")
"""Folders inside the data folder that may be written: those that are recognised as masks and not as a class."""

PROPOSED, EMPTY, FAILED, EDITED = "proposed", "empty", "failed", "edited"


@dataclass(frozen=True)
class Proposal:
    """What became of one picture."""

    path: str
    """``Sample.path``."""
    mask: str
    """The mask, relative to the folder of the proposals; "" when there is none."""
    state: str
    """proposed; empty (nothing was found, no mask); failed (no mask); edited (not as it was proposed: kept)."""
    prior: str
    """centre, box, class-map or masks; "" when unknown."""
    share: float | None = None
    """The object's share of the picture."""
    contrast: float | None = None
    """Colour difference across the outline (see ``foveate.data.grabcut.contrast``)."""
    doubt: str = ""
    """Reasons to look at it, joined by "; "."""


def propose_masks(
    catalog: Catalog,
    out: Path,
    config: ProposeConfig | None = None,
    *,
    run: RunFolder | None = None,
    network: Network | None = None,
    everything: bool = False,
    limit: int | None = None,
    overwrite: bool = False,
    device: str = "auto",
    observer: Observer | None = None,
) -> list[Proposal]:
    """Propose a mask for every picture that has none, into ``out``; the table ``proposals.csv`` lists all of them.

    Args:
        catalog: the pictures. Boxes count as a prior, not as a mask.
        out: the folder of the masks; what is there already is kept.
        run: a finished run whose class maps are the prior, of the picture's class (of the predicted one when the
            picture has no label that the run knows); or whose network learns from masks.
        network: for the prior masks, where there is no run.
        everything: also pictures that have a mask, to compare with; their box prior is the mask's bounding box.
        limit: only so many pictures, spread evenly over the catalog.
        overwrite: replace masks that were proposed with other settings; never what was drawn or edited by hand.

    Returns:
        One proposal a picture, in the catalog's order.

    Raises:
        ConfigError: OpenCV is missing, prior and run do not go together, ``out`` holds masks of other settings.
        DataError: every picture has a mask already, or ``out`` is a place where masks would be taken for pictures.
    """
    config, observer, out = config or ProposeConfig(), observer or Observer(), Path(out)
    opencv()
    if config.prior == "class-map" and run is None:
        raise ConfigError("The prior class-map needs a trained run; name its folder (--run RUN).")
    if config.prior == "masks" and (run is None) == (network is None):
        raise ConfigError(
            "The prior masks needs a network that looks at the pictures: a run (--run RUN), or weights (--weights)."
        )
    if run is not None and config.prior in ("centre", "box"):
        raise ConfigError(
            f"The prior {config.prior} uses no run; leave the run out, or choose class-map or auto."
        )
    if run is not None and not run.finished:
        raise ConfigError(f"{run.folder} is not finished; run its train command again first.")
    check_place(catalog.root, out)
    catalog = _without_own(catalog, out)
    todo = _tasks(catalog, config, run, everything, observer)
    if limit is not None and limit < len(todo):
        todo = [todo[i] for i in np.linspace(0, len(todo) - 1, limit).round().astype(int)]
    settings = _settings(config, run, network, catalog)
    found = {task.row: _existing(task, settings[task.prior], out, overwrite) for task in todo}
    kept = sum(proposal is not None for proposal in found.values())
    if kept:
        observer.message(f"{kept} masks of {out} are there already and stay as they are.")
    maps: ClassMaps | LearnedMasks | None = None
    if config.prior == "masks" and not all(found.values()):
        looks = network if network is not None else run.model  # type: ignore[union-attr]
        maps = LearnedMasks(looks, catalog, pick_device(device), observer.progress)
        observer.message(maps.words())
    elif run is not None:
        maps = ClassMaps(run, catalog, config.tap, device)
    result: list[Proposal] = []
    first, fresh = FirstPictures(len(todo) - kept, observer), 0
    for done, task in enumerate(todo):
        result.append(found[task.row] or _propose(task, catalog, out, config, settings[task.prior], maps))
        fresh += found[task.row] is None
        if fresh == TIMED:
            first.done(fresh)
        observer.progress("proposing masks", done + 1, len(todo))
    digits = {"share": ".4f", "contrast": ".2f"}
    rows = [
        [
            "" if value is None else format(value, digits.get(name, ""))
            for name, value in asdict(proposal).items()
        ]
        for proposal in result
    ]
    write_csv(out / TABLE, COLUMNS, rows)
    return result


def check_place(root: Path, out: Path, data: Path | None = None) -> None:
    """Refuse a place where the masks would be taken for pictures.

    Args:
        root: ``Catalog.root``.
        out: the folder of the masks.
        data: the folder that was given, when the pictures lie in a folder below it.

    Raises:
        DataError: ``out`` lies in the data folder and is not its ``masks``, or is a file.
    """
    place, root = Path(os.path.abspath(out)), Path(os.path.abspath(root))
    above = root if data is None else Path(os.path.abspath(data))
    if place.exists() and not place.is_dir():
        raise DataError(f"{out} is a file; name a folder for the masks.")
    own = place.parent == root and place.name.lower() in TREE_NAMES
    if (place.is_relative_to(above) and not own) or root.is_relative_to(place):
        raise DataError(
            f"In {out} the masks would lie among the pictures of {root}; choose {root / 'masks'}, or a folder "
            "elsewhere."
        )


def mask_names(catalog: Catalog) -> list[tuple[str, str]]:
    """For each row (the name of its mask in a folder that mirrors the pictures, ""), or ("", why it can have none)."""
    names = [f"{mirrored(sample.path)}.png" for sample in catalog.samples]
    counts, found = Counter(names), []
    for name, sample in zip(names, catalog.samples, strict=True):
        if os.path.isabs(sample.path) or ".." in sample.path.split("/"):
            found.append(("", "it lies outside the data folder, so no tree of masks can mirror it"))
        elif counts[name] > 1:
            found.append(("", "another picture has the same name but for the suffix; rename one"))
        else:
            found.append((name, ""))
    return found


def listed_in(out: Path) -> set[str] | None:
    """Paths of the pictures in the table of the proposals; None when the folder has none."""
    table = out / TABLE
    if not table.is_file():
        return None
    return set(read_csv(table, ("path",)).column("path"))


@dataclass(frozen=True)
class _Task:
    row: int
    sample: Sample
    prior: str
    mask: str
    """Relative to the folder of the proposals; "" when no tree can mirror the picture."""
    reason: str = ""
    """Why no mask can be proposed."""


def _without_own(catalog: Catalog, out: Path) -> Catalog:
    """Where ``out`` lies in the data folder its masks are in the catalog by now: the references before them."""
    samples = []
    for sample in catalog.samples:
        target = out / f"{mirrored(sample.path)}.png"
        payload = MaskReference.parse(sample.mask).payload if sample.mask.startswith("png") else ""
        if payload and os.path.abspath(catalog.root / payload) == os.path.abspath(target):
            made = made_by(target)
            sample = replace(sample, mask=made["reference"] if made else "")
        samples.append(sample)
    return replace(catalog, samples=tuple(samples))


def _tasks(
    catalog: Catalog, config: ProposeConfig, run: RunFolder | None, everything: bool, observer: Observer
) -> list[_Task]:
    names = mask_names(catalog)
    tasks = []
    for row, sample in enumerate(catalog.samples):
        name, reason = names[row]
        boxes = bool(sample.mask) and only_boxes(catalog.root, sample.mask)
        if sample.mask and not boxes and not everything:
            continue
        prior = config.prior
        if prior == "auto":
            prior = "box" if boxes else "centre" if run is None else "class-map"
        if prior == "box" and not sample.mask:
            reason = reason or "it has no box"
        tasks.append(_Task(row, sample, prior, name, reason))
    if not tasks:
        raise DataError(
            f"All {len(catalog)} pictures of {catalog.root} have a mask already; to propose some nevertheless, "
            "for example to compare, ask for all (--all)."
        )
    if len(tasks) < len(catalog):
        observer.message(
            f"Left alone, since they have a mask already: {len(catalog) - len(tasks)} of {len(catalog)} pictures."
        )
    return tasks


def _settings(
    config: ProposeConfig, run: RunFolder | None, network: Network | None, catalog: Catalog
) -> dict[str, str]:
    """{prior: 12 hex digits of everything that decides on its masks besides the picture and its boxes}."""
    weights = sha256_of_file(run.folder / "model.safetensors") if run is not None else ""
    if config.prior == "masks":
        weights += digest_of_sources(network, catalog)
    common = {"iterations": config.iterations, "side": config.side}
    digests = {}
    for prior, fields in USED.items():
        values = common | {name: getattr(config, name) for name in fields}
        values["weights"] = weights if prior in ("class-map", "masks") else ""
        digests[prior] = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
    return digests


def _existing(task: _Task, settings: str, out: Path, overwrite: bool) -> Proposal | None:
    """The proposal whose file is there already; None when there is none or it is to be replaced.

    Raises:
        ConfigError: it was made with other settings.
    """
    path = out / task.mask
    if not task.mask or not path.is_file():
        return None
    try:
        made = made_by(path)
        with load_image(path) as image:
            pixels = np.asarray(image.convert("L"))
    except DataError as error:
        return Proposal(task.sample.path, task.mask, FAILED, "", doubt=str(error).rstrip("."))
    share = float((pixels > 0).mean())
    if made is None or made["pixels"] != digest(pixels):
        return Proposal(task.sample.path, task.mask, EDITED, "", share)
    same_box = task.prior != "box" or made["reference"] == task.sample.mask
    if made["settings"] == settings and made["prior"] == task.prior and same_box:
        doubt = "; ".join(made["doubts"])
        return Proposal(task.sample.path, task.mask, PROPOSED, made["prior"], share, made["contrast"], doubt)
    if overwrite:
        return None
    raise ConfigError(
        f"{path} was proposed with other settings (prior {made['prior']}); choose another folder, repeat the old "
        "settings, or let it be replaced (--overwrite)."
    )


class _Made(Record):
    settings: str
    prior: str
    reference: str
    contrast: float | None
    doubts: list[str]
    pixels: str


def made_by(path: Path) -> dict[str, Any] | None:
    """What a mask file says of its making; None when it says nothing."""
    with open_image(path) as image:
        text = image.info.get(CHUNK)
    try:
        made = parse_json(text if isinstance(text, str) else "", dict, str(path))
        parse(_Made, made, source=str(path), error=RunError)
    except RunError:
        return None
    return made


def _propose(
    task: _Task,
    catalog: Catalog,
    out: Path,
    config: ProposeConfig,
    settings: str,
    maps: "ClassMaps | LearnedMasks | None",
) -> Proposal:
    """Make and write one mask; whatever is wrong with the picture becomes its proposal's doubt."""
    path = task.sample.path
    if task.reason:
        return Proposal(path, "", FAILED, task.prior, doubt=task.reason)
    try:
        size, result = cut_picture(task.row, catalog, task.prior, config, maps)
    except DataError as error:
        return Proposal(path, "", FAILED, task.prior, doubt=str(error).rstrip("."))
    if not result.mask.any():
        return Proposal(path, "", EMPTY, task.prior, 0.0, doubt="; ".join(result.doubts))
    mask = to_picture(result.mask, size)
    pixels = np.asarray(mask)
    difference = None if np.isnan(result.contrast) else round(result.contrast, 2)
    made = {
        "settings": settings, "prior": task.prior, "reference": task.sample.mask, "contrast": difference,
        "doubts": list(result.doubts), "pixels": digest(pixels),
    }  # fmt: skip
    text = PngImagePlugin.PngInfo()
    text.add_itxt(CHUNK, json.dumps(made, ensure_ascii=False))
    buffer = BytesIO()
    mask.save(buffer, "PNG", pnginfo=text)
    write_bytes(out / task.mask, buffer.getvalue())
    share = float((pixels > 0).mean())
    return Proposal(path, task.mask, PROPOSED, task.prior, share, difference, "; ".join(result.doubts))

"""Tests unlike the training, in the report of a run: one table of all that were made, and what they mean."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from foveate.core.config import parse
from foveate.core.errors import RunError, few
from foveate.core.intervals import of_mean
from foveate.data.annotations.proposed import makers
from foveate.evaluation.background_files import BackgroundTable
from foveate.evaluation.unlike_training import ATTACKS, BACKGROUNDS, VARIANT_TESTS, attack_title
from foveate.experiment.records import Unlike
from foveate.experiment.run_folder import RunFolder
from foveate.reporting.pictures import data_uri, gallery_picture
from foveate.reporting.text import percent
from foveate.studies.metrics import value_at

PROPOSED = 100
"""Masks of which it is read who made them, at most."""
FEWER = 0.05
"""A loss of accuracy that is not passed over, certain or not."""
VARIANTS = 8
"""Of a test, the lowest, that are named."""
CUT_OUT = (
    "The changed pictures depend on the picture and its split alone, so every run on this split is asked about the "
    "same ones. Cut-out objects look odd to any network: compare with another run, not with the unchanged pictures "
    "alone. Where masks are wider than the object, a rim of old background stays. Same answer: pictures whose answer "
    "stays as on the unchanged one, right or wrong, in every variant. Lost: right there, wrong here; won: the reverse."
)
ATTACKED = "Under attack a low figure is usual for any network that was not trained against it."
WORST = "The lowest of many values is low by chance too."

Row = dict[str, Any]
"""name, what, accuracy, accuracy_low, accuracy_high; where they are known each (variant), same (share of answers),
turned (lost and won)."""


def unlike(run: RunFolder, summary: dict[str, Any]) -> dict[str, Any] | None:
    """``parts``: (which pictures, rows) of the tests on the pictures of ``summary``, first these pictures as they are;
    ``notes``. None without a test.

    Raises:
        RunError: what result.json says of a test is no figure.
    """
    stated = value_at(run.stated, "metrics", summary["split"]) or {}
    found = parse(Unlike, stated, source=str(run.folder / "result.json"), error=RunError)
    masked = list(_on_backgrounds(run.background_table)) if run.background_table else []
    for kind, (title, what) in VARIANT_TESTS.items():
        if test := getattr(found, kind):
            if not masked:
                masked = [_row(*BACKGROUNDS["original"], test.original.model_dump(), control=True)]
            each = sorted(test.variants.items(), key=lambda one: one[1].accuracy)
            told = [f"{name} {percent(score.accuracy, 0)}" for name, score in each if name != "."]
            more = {"each": few(told, VARIANTS)} if told else {}
            masked.append(_row(title, what, test.model_dump(), same=test.consistent, **more))
    others = [
        _row(attack_title(name), ATTACKS[name.partition("_")[0]][1], score.model_dump(), note=ATTACKED)
        for name, score in found.attacks.items()
    ]
    names = dict(zip(summary["class_ids"], run.class_names, strict=True))
    for name, each in summary.get("attributes", {}).items():
        value, group, count = each["worst"], each["worst_group"], "the lowest of {} {}".format
        by_class = count(len(each["groups"]), f"classes with a {name}")
        others += [
            _row(f"{name}: {value['value']}", count(len(each["values"]), "values"), value, note=WORST),
            _row(f"{names[group['class_id']]}, {group['value']}", by_class, group, note=WORST),
        ]
    if others:
        others.insert(0, _row("all pictures", "as photographed", summary, control=True))
    named = (("pictures with masks", masked), ("pictures, with and without masks", others))
    parts = [(f"{rows[0]['n']} {words}", rows) for words, rows in named if rows]
    notes = [CUT_OUT] * bool(masked) + [row["note"] for row in others if "note" in row]
    return {"parts": parts, "notes": list(dict.fromkeys(notes))} if parts else None


def _on_backgrounds(table: BackgroundTable) -> Iterator[Row]:
    summary, original = table.summary(), table.prediction["original"]
    right = original == table.label
    for test, (title, what) in BACKGROUNDS.items():
        if test == "original":
            yield _row(title, what, summary[test], control=True)
        elif test in table.prediction:
            now = table.prediction[test] == table.label
            yield _row(
                title, what, summary[test], same=float((table.prediction[test] == original).mean()),
                turned=f"{(right & ~now).sum()} / {(~right & now).sum()}",
            )  # fmt: skip


def _row(name: str, what: str, found: dict[str, Any], **more: Any) -> Row:
    figures = {key: found[key] for key in ("n", "accuracy", "accuracy_low", "accuracy_high")}
    return {"name": name[:1].upper() + name[1:], "what": what, **figures, **more}


def backgrounds(run: RunFolder) -> dict[str, Any] | None:
    """Answers with other backgrounds, from ``background_tests.csv``, and some of these pictures; None without tests."""
    table = run.background_table
    if table is None:
        return None
    summary = table.summary()
    row_of = {path: i for i, path in enumerate(table.path.tolist())}
    sheet, items = run.background_sheet, []
    for k, path in enumerate(sheet.path.tolist() if sheet else ()):
        i = row_of.get(path)
        if sheet is None or i is None:
            continue
        views = []
        for test in (name for name in sheet.pictures if name in table.prediction):
            image, answer = sheet.pictures[test][k], int(table.prediction[test][i])
            outlined = gallery_picture(image, sheet.mask[k], None) if test == "original" else ""
            uri = outlined or data_uri(Image.fromarray(image), quality=85)
            correct = answer == table.label[i]
            views.append(
                (
                    BACKGROUNDS[test][0],
                    uri,
                    correct,
                    run.class_names[answer],
                    float(table.probability[test][i]),
                )
            )
        lent = int(table.background_label[i])
        label, other = run.class_names[int(table.label[i])], run.class_names[lent] if lent >= 0 else None
        items.append({"path": path, "label": label, "background_label": other, "views": views})
    return {
        "n": len(table), "chance": summary["chance_majority"],
        "tests": {test: summary[test] for test in table.prediction},
        "as_background": summary.get("swapped", {}).get("as_background"), "sheet": items,
    }  # fmt: skip


def field(run: RunFolder, found: dict[str, Any] | None) -> str:
    """What to expect where pictures are taken elsewhere, in words, from what ``backgrounds`` found; "" without it."""
    table = run.background_table
    if not found or table is None or "swapped" not in found["tests"]:
        return ""
    tests, chance = found["tests"], found["chance"]
    original, swapped = tests["original"]["accuracy"], tests["swapped"]["accuracy"]
    right = {test: (table.prediction[test] == table.label).astype(np.float64) for test in tests}
    change = of_mean(right["swapped"] - right["original"], span=(-1.0, 1.0))
    words = (
        f"As photographed {percent(original)} are named correctly, with the background of another class "
        f"{percent(swapped)}"
    )
    if "removed" in tests:
        bare = tests["removed"]
        interval = f"{percent(bare['accuracy_low'], 0)} to {percent(bare['accuracy_high'], 0)}"
        words += (
            f", with the object removed {percent(bare['accuracy'])} (95 % interval {interval}, chance "
            f"{percent(chance)})"
        )
    kinds = [
        term.get("kind") for term in (run.settings.get("objective") or {}).values() if isinstance(term, dict)
    ]
    lost = change is not None and change[1] < 0
    if "removed" in tests and tests["removed"]["accuracy_low"] > chance and "counterfactual" not in kinds:
        words += ". Surroundings give the class away: expect less where they differ from these pictures'."
    elif lost:
        words += ". It leans on the background: expect less where that differs from these pictures'."
    elif swapped <= original - FEWER:
        words += f". Fewer are right there; with {len(table.label)} pictures that may still be chance."
    else:
        words += ". No clear sign that it leans on the background."
    proposed = proposed_masks(run, table.path.tolist())
    return words + (f" {proposed}" if proposed else "")


def proposed_masks(run: RunFolder, paths: Sequence[str]) -> str:
    """A sentence where masks of these pictures were proposed by a program and not drawn; else ""."""
    wanted, root = set(paths), run.data_root
    if root is None:
        return ""
    masks = [row["mask"] for row in run.listed if row["path"] in wanted and row["mask"]]
    # evenly spread, since a catalog goes by class
    looked = [masks[k * len(masks) // PROPOSED] for k in range(PROPOSED)] if len(masks) > PROPOSED else masks
    made = makers(root, looked)
    count, known = made["proposed"], made.total()
    if not count:
        return ""
    some = "All" if count == known else f"{count} of"
    of = "" if known == len(masks) else f" looked at, of {len(masks)},"
    return (
        f"{some} {known} masks{of} were proposed by a program, not drawn: where they miss the object, these "
        "figures mean less."
    )

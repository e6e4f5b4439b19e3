"""python results/masks.py DATA RUNS OUT [SET]...: the tables of results/masks.md; see results/masks.sh.

DATA holds the sets ph2, wbc1 and potato2 with known masks, RUNS a finished run on each. Stopped, the same command goes
on: masks that are there are kept.
"""

import csv
import sys
from pathlib import Path

import numpy as np

import foveate
from foveate.data.annotations import sample_mask
from foveate.data.decode import read_image
from foveate.data.discover import discover
from foveate.data.grabcut import ProposeConfig
from foveate.data.layout_settings import LayoutConfig
from foveate.evaluation.mask_agreement import CENTRE_SHARE, PROPOSED, agreement
from foveate.experiment.picture_cut import ClassMaps

SETS: dict[str, dict[str, tuple[int, ...] | None]] = {
    "ph2": {"lesion": None},
    "wbc1": {"cell": None, "nucleus": (255,)},
    "potato2": {"leaf": None},
}
"""{set: {reference: grey values of the known masks, None = all but 0}}"""

ARMS: dict[str, ProposeConfig] = {
    "centre, share 0.3": ProposeConfig(prior="centre", share=0.3),
    "centre, share 0.5 (default)": ProposeConfig(prior="centre"),
    "centre, share 0.7": ProposeConfig(prior="centre", share=0.7),
    "centre, without a sure core": ProposeConfig(prior="centre", core=0),
    "centre, sure core 0.15": ProposeConfig(prior="centre", core=0.15),
    "class map, tap late (default)": ProposeConfig(prior="class-map"),
    "class map, tap middle": ProposeConfig(prior="class-map", tap="middle"),
    "box (of the known mask)": ProposeConfig(prior="box"),
    "box, without a sure core": ProposeConfig(prior="box", box_core=0),
}
LIMIT = 100
"""Pictures of a set, spread evenly over it."""
HEAD = (
    "| masks | IoU mean | median | quartiles | IoU >= 0.5 | precision | recall | without a mask |\n|---|"
    + "---:|" * 7
)


def line(name: str, row: dict[str, float | str | int], missing: str) -> str:
    return (
        f"| {name} | {row['iou_mean']:.3f} | {row['iou_median']:.3f} | {row['iou_q1']:.3f} to {row['iou_q3']:.3f} "
        f"| {row['share_iou_50']:.0%} | {row['precision_median']:.2f} | {row['recall_median']:.2f} | {missing} |"
    )


def map_alone(data: Path, run: foveate.Run, layout: LayoutConfig, paths: set[str]) -> str:
    """The control of the class map: what is above half of its maximum, without GrabCut."""
    catalog = discover(data, layout).catalog
    maps = ClassMaps(run, catalog, None, "cpu")
    scores = []
    for row, sample in enumerate(catalog.samples):
        if sample.path in paths:
            picture = read_image(catalog.file(row))
            values = maps.of(row, picture, picture.size, picture.size)
            known = np.asarray(sample_mask(catalog, row)) > 0
            scores.append(agreement((values >= values.max() / 2) & (values > 0), known))
    iou, precision, recall = (
        np.array([getattr(s, f) for s in scores]) for f in ("iou", "precision", "recall")
    )
    low, median, high = np.quantile(iou, (0.25, 0.5, 0.75))
    row_of = {
        "iou_mean": iou.mean(), "iou_median": median, "iou_q1": low, "iou_q3": high,
        "share_iou_50": (iou >= 0.5).mean(), "precision_median": np.nanmedian(precision),
        "recall_median": np.median(recall),
    }  # fmt: skip
    return line("class map above half of its maximum", row_of, "")


def doubts(folder: Path, iou: dict[str, float]) -> str:
    """How well the doubts of an arm point at bad masks."""
    with open(folder / "proposals.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    flagged = [iou[r["path"]] for r in rows if r["path"] in iou and (r["doubt"] or not r["mask"])]
    clear = [iou[r["path"]] for r in rows if r["path"] in iou and not (r["doubt"] or not r["mask"])]
    parts = [
        f"{len(part)} | {np.median(part):.3f} | {np.mean(np.array(part) < 0.5):.0%}" if part else "0 | - | -"
        for part in (flagged, clear)
    ]
    return " | ".join(parts)


def main(data: Path, runs: Path, out: Path, chosen: list[str]) -> None:
    table_of_doubts = []
    for name in chosen or list(SETS):
        references = SETS[name]
        run = foveate.Run.open(runs / name)
        for arm, config in ARMS.items():
            used = run if config.prior == "class-map" else None
            folder = out / name / arm.replace(" ", "_")
            foveate.propose_masks(data / name, folder, config, run=used, everything=True, limit=LIMIT)
        for reference, values in references.items():
            layout = LayoutConfig(mask_values=values)
            lines, controls, n = [], [], 0
            for arm in ARMS:
                folder = out / name / arm.replace(" ", "_")
                comparison = foveate.compare_masks(data / name, folder, layout)
                first, *others = comparison.summary()
                lines.append(line(arm, first, str(comparison.missing)))
                controls = [line(str(row["masks"]), row, "") for row in others]
                n = len(comparison.paths)
                scores = comparison.scores[PROPOSED]
                iou = {path: score.iou for path, score in zip(comparison.paths, scores, strict=True)}
                if reference != "nucleus":
                    table_of_doubts.append(f"| {name} | {arm} | {doubts(folder, iou)} |")
            print(f"\n### {name}, {reference} ({n} pictures)\n\n{HEAD}")
            controls = [
                c.replace("centre ellipse", f"centre ellipse, share {CENTRE_SHARE}") for c in controls
            ]
            print(
                "\n".join([*lines, *controls, map_alone(data / name, run, layout, set(comparison.paths))]),
                flush=True,
            )
    print("\n| set | prior | doubtful | median IoU | IoU < 0.5 | without doubt | median IoU | IoU < 0.5 |")
    print("|---|---|" + "---:|" * 6)
    print("\n".join(table_of_doubts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])

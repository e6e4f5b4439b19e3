"""python results/fastai_comparison.py DATA WEIGHTS OUT FASTAI [--test]: the default recipe beside fastai's fine_tune.

Both get the same pictures and split (made by ``foveate split``) and the same weights (WEIGHTS, a MobileNetV3-Small with
its card) at 128 px, and run as commands of their own, one after the other. fastai is asked as its tutorial does:
``Resize``, ``aug_transforms``, ``vision_learner``, its rate. FASTAI is a Python that has fastai and Foveate beside the
same torch. OUT/fastai.csv has a row for each set, seed and program, with the processor seconds of the whole command;
what is there is kept. Choices are made on validation pictures; ``--test`` measures the test.
"""

import csv
import json
import resource
import subprocess
import sys
from pathlib import Path

SETS: dict[str, list[str]] = {
    "amazonbirds5": ["--group", r"regex:(frame\d+)"],
    "coffee5": [],
    "potato2": [],
    "cub10": ["--quarantine"],
    "pets37": [],
}
SEEDS = range(5)
SIZE, EPOCHS = 128, 20
COLUMNS = ("set", "seed", "program", "split", "accuracy", "augmented", "processor_seconds")


def spent(command: list[str]) -> float:
    """Run a command; the processor seconds of it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ours(
    data: Path, table: Path, weights: Path, seed: int, out: Path, judge: str
) -> tuple[float, float, float]:
    """(accuracy, accuracy with mirrored pictures averaged, processor seconds) of the default recipe."""
    foveate = [sys.executable, "-m", "foveate"]
    run = [
        str(data),
        "--split",
        str(table),
        "--weights",
        str(weights),
        "--size",
        str(SIZE),
        "--seed",
        str(seed),
    ]
    seconds = spent([*foveate, "train", *run, "--quarantine", "--out", str(out)])
    spent([*foveate, "evaluate", str(out), "--tta", "flip", "--out", str(out / "mirrored.csv")])
    return right(out / "predictions.csv", judge), right(out / "mirrored.csv", judge), seconds


def right(predictions: Path, judge: str) -> float:
    """Share of a split's pictures that are named as their labels do."""
    # Not above: in fastai's interpreter the guard comes first.
    from foveate.evaluation.predictions import PredictionTable

    return float(PredictionTable.from_csv(predictions).of_split(judge).correct.mean())


def theirs(
    data: Path, table: Path, weights: Path, seed: int, out: Path, judge: str, python: str
) -> tuple[float, float, float]:
    """The same of fastai, in its own interpreter."""
    asked = [str(data), str(table), str(weights), str(seed), str(out), judge]
    seconds = spent([python, __file__, "--fastai", *asked])
    found = json.loads(out.read_text(encoding="utf-8"))
    return found["accuracy"], found["augmented"], seconds


def fastai(data: Path, table: Path, weights: Path, seed: int, out: Path, judge: str) -> None:
    """Fine-tune as fastai's tutorial does, measure one split with and without its test-time augmentation."""
    # The guard before anything that imports torchvision.
    from foveate.core import torchvision_guard  # noqa: F401, I001
    import pandas
    from fastai.vision import all as vision
    from safetensors.torch import load_file

    card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    rows = pandas.read_csv(table, dtype=str)
    rows = rows[rows["split"].isin(["train", judge])].assign(held_out=lambda part: part["split"] == judge)
    vision.set_seed(seed, reproducible=True)
    loaders = vision.ImageDataLoaders.from_df(
        rows, path=data, fn_col="path", label_col="label", valid_col="held_out", item_tfms=vision.Resize(SIZE),
        batch_tfms=[*vision.aug_transforms(), vision.Normalize.from_stats(card["mean"], card["std"])], num_workers=2,
    )  # fmt: skip
    learner = vision.vision_learner(
        loaders, card["architecture"], pretrained=False, normalize=False, metrics=vision.accuracy
    )
    missing, unknown = learner.model[0].model.load_state_dict(load_file(weights), strict=False)
    left = [name for name in missing if not name.startswith(tuple(card["absent"]))]
    if left or unknown:
        raise SystemExit(f"{weights}: {left + unknown} do not fit fastai's network.")
    learner.fine_tune(EPOCHS)
    plain, labels = learner.get_preds()
    mirrored, _ = learner.tta()
    found = {
        "accuracy": vision.accuracy(plain, labels).item(),
        "augmented": vision.accuracy(mirrored, labels).item(),
    }
    out.write_text(json.dumps(found), encoding="utf-8")


def main(data: Path, weights: Path, out: Path, python: str, judge: str) -> None:
    """Measure what is missing, set by set and seed by seed."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "fastai.csv"
    rows = list(csv.DictReader(file.open(newline="", encoding="utf-8"))) if file.is_file() else []
    done = {(row["set"], row["seed"], row["program"], row["split"]) for row in rows}
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        if not rows:
            writer.writeheader()
        for seed in SEEDS:
            for name, flags in SETS.items():
                table = out / f"{name}-{seed}.csv"
                if not table.is_file():
                    make = [sys.executable, "-m", "foveate", "split", str(data / name), *flags]
                    spent([*make, "--seed", str(seed), "--out", str(table)])
                for program in ("foveate", "fastai"):
                    if (name, str(seed), program, judge) in done:
                        continue
                    place = out / f"{name}-{seed}-{program}{'.json' if program == 'fastai' else ''}"
                    asked = (data / name, table, weights, seed, place, judge)
                    found = ours(*asked) if program == "foveate" else theirs(*asked, python)
                    writer.writerow(dict(zip(COLUMNS, (name, seed, program, judge, *found), strict=True)))
                    stream.flush()


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if "--fastai" in sys.argv:
        fastai(Path(words[0]), Path(words[1]), Path(words[2]), int(words[3]), Path(words[4]), words[5])
    else:
        main(
            Path(words[0]),
            Path(words[1]),
            Path(words[2]),
            words[3],
            "test" if "--test" in sys.argv else "val",
        )

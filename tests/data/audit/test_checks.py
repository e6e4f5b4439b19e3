"""Classes and groups: counted against plain rules."""

from pathlib import Path

from foveate.data.audit.checks import attribute_problems, class_problems, group_problems
from foveate.data.catalog import Catalog, Sample


def catalog(counts: dict[str, dict[str, int]], *more: Sample) -> Catalog:
    """{class: {split: pictures}}"""
    samples = [
        Sample(f"{name}/{split or 'none'}{k}.png", label, split)
        for label, (name, splits) in enumerate(counts.items())
        for split, n in splits.items()
        for k in range(n)
    ]
    return Catalog(Path("/data"), tuple(counts), (*samples, *more))


def found(problems: list) -> list[tuple[str, str]]:
    return [(problem.severity, problem.code) for problem in problems]


def test_sizes() -> None:
    table = catalog(
        {"many": {"": 30}, "floor": {"": 10}, "few": {"": 9}, "three": {"": 3}, "two": {"": 2}, "none": {}}
    )
    problems = [*class_problems(table, ["folder", "none"], floor=10, imbalance=15)]
    assert found(problems) == [
        ("warning", "empty-class"),
        ("warning", "empty-class"),
        ("warning", "class-below-floor"),
        ("warning", "class-below-floor"),
        ("error", "class-too-small"),
    ]
    assert [
        word
        for p in problems
        for word in ("folder", "none", "few", "three", "two")
        if f"Class {word}" in p.message
    ] == [
        "folder",
        "none",
        "few",
        "three",
        "two",
    ]
    assert problems[-1].related == ("two/none0.png", "two/none1.png")


def test_imbalance_is_a_ratio() -> None:
    table = catalog({"a": {"": 50}, "b": {"": 10}})
    assert found(class_problems(table, floor=0, imbalance=5)) == []
    (problem,) = class_problems(table, floor=0, imbalance=4.9)
    assert problem.code == "imbalance"
    assert "5 times" in problem.message


def test_class_that_a_split_lacks() -> None:
    table = catalog(
        {"a": {"train": 5, "val": 5, "test": 5}, "b": {"train": 5, "val": 5}, "c": {"val": 5, "test": 5}}
    )
    problems = class_problems(table, floor=0, imbalance=100)
    assert found(problems) == [("warning", "class-not-in-split"), ("error", "class-not-in-train")]


def test_only_a_test_split_needs_no_training_pictures() -> None:
    table = catalog({"a": {"test": 5}, "b": {"test": 5}})
    assert found(class_problems(table, floor=0, imbalance=100)) == []


def test_groups() -> None:
    samples = (
        Sample("1.png", 0, "train", group="bird1"),
        Sample("2.png", 0, "test", group="bird1"),
        Sample("3.png", 0, "train", group="bird2"),
        Sample("4.png", 0, "train", group="bird2"),
        Sample("5.png", 0, "", group="bird3"),
        Sample("6.png", 0, "train", group="bird3"),
        Sample("7.png", 0, "train"),
        Sample("8.png", 0, "test"),
    )
    (problem,) = group_problems(Catalog(Path("/data"), ("a",), samples))
    assert (problem.severity, problem.code, problem.paths) == (
        "error",
        "group-across-splits",
        ("1.png", "2.png"),
    )
    assert "bird1" in problem.message


def test_an_attribute_that_goes_with_one_class() -> None:
    values = {
        "bee": ["hill"] * 4 + ["lake"] * 3,
        "wasp": ["hill"] * 2 + ["shed"] * 2 + ["roof"] * 3,
        "": ["lake"],
    }
    samples = [
        Sample(f"{name}{k}.png", ["bee", "wasp", ""].index(name) if name else -1, attributes=(value, "one"))
        for name, own in values.items()
        for k, value in enumerate(own)
    ]
    table = Catalog(Path("/data"), ("bee", "wasp"), tuple(samples), attributes=("place", "camera"))
    (problem,) = attribute_problems(table)
    assert (problem.severity, problem.code) == ("warning", "attribute-one-class")
    # hill is of both, shed has two pictures only; the unlabelled one by the lake is of no class.
    assert "2 of 4 values of place" in problem.message
    assert "lake (3 pictures, all bee), roof (3 pictures, all wasp)" in problem.message
    assert set(problem.paths) == {"bee4.png", "bee5.png", "bee6.png", "wasp4.png", "wasp5.png", "wasp6.png"}

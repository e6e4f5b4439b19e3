"""The split: partition, groups, stratification, determinism, and the file."""

import csv
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.core.config import parse
from foveate.core.errors import ConfigError, DataError
from foveate.data.catalog import Catalog, Sample
from foveate.data.split import SplitConfig, load_split, save_split, split, split_hash

PARTS = ("train", "val", "test")


def make(counts, *, group=None, split_of=None, root="data") -> Catalog:
    """counts[c] pictures of class c; group(label, i) and split_of(label, i) fill the columns."""
    samples = [
        Sample(
            f"c{label:02d}/{i:03d}.png",
            label,
            split=split_of(label, i) if split_of else "",
            group=group(label, i) if group else "",
        )
        for label, count in enumerate(counts)
        for i in range(count)
    ]
    return Catalog(Path(root), tuple(f"class {c}" for c in range(len(counts))), tuple(samples))


def by_path(catalog: Catalog) -> dict[str, str]:
    return {s.path: s.split for s in catalog.samples}


def test_fewer_groups_than_folds_and_classes_too_rare_are_said():
    few = split(make([12, 12], group=lambda c, i: f"patient{i % 3}"), SplitConfig(folds=5))
    assert "5 folds were asked for, but there are only 3 groups to divide, so there are 3 folds." in few.notes
    assert set(few.folds) == {0, 1, 2}
    rare = split(make([12, 10, 3]), SplitConfig(folds=5))
    lacking = {0, 1, 2, 3, 4} - {
        fold for s, fold in zip(rare.catalog.samples, rare.folds, strict=True) if s.label == 2
    }
    assert len(lacking) == 2
    assert any(f"class 2 (3) not in {', '.join(map(str, sorted(lacking)))}." in note for note in rare.notes)
    assert not any("lack classes" in note for note in split(make([12, 10]), SplitConfig(folds=5)).notes)
    empty = split(make([12, 12], group=lambda c, i: f"patient{i % 2}"), SplitConfig())
    assert any("class 0, class 1; the 24 pictures form only 2 groups." in note for note in empty.notes)


@pytest.mark.parametrize("groups", [3, 4, 5, 8])
@pytest.mark.parametrize("across", [True, False])
def test_large_groups_leave_no_part_empty(groups, across):
    catalog = make([4 * groups, 4 * groups], group=lambda c, i: f"g{i // 4}{'' if across else c}")
    for seed in range(5):
        result = split(catalog, SplitConfig(seed=seed)).catalog
        for part in PARTS:
            assert (result.counts(part) > 0).all()
        folds = split(catalog, SplitConfig(folds=groups, seed=seed)).folds
        assert set(folds) == set(range(groups))


def test_folds_that_the_data_brings_keep_their_numbers():
    catalog = make([40, 30], group=lambda c, i: f"fold_{(i * 7 + c) % 11}")
    for seed in range(5):
        result = split(catalog, SplitConfig(folds=11, seed=seed))
        assert all(s.group == f"fold_{k}" for s, k in zip(result.catalog.samples, result.folds, strict=True))


def test_a_split_file_of_a_system_that_writes_accents_otherwise(tmp_path):
    composed, apart = "Zaunk\u00f6nig", "Zaunko\u0308nig"
    here = Catalog(
        tmp_path, ("Amsel", composed), (Sample(f"{composed}/1.jpg", 1, "test"), Sample("a/2.jpg", 0, "train"))
    )
    save_split(here, tmp_path / "split.csv")
    there = Catalog(tmp_path, ("Amsel", composed), (Sample(f"{apart}/1.jpg", 1), Sample("a/2.jpg", 0)))
    assert by_path(load_split(tmp_path / "split.csv", there)) == {
        f"{apart}/1.jpg": "test",
        "a/2.jpg": "train",
    }
    both = replace(there, samples=(*there.samples, Sample(f"{composed}/1.jpg", 1)))
    with pytest.raises(DataError, match="lacks"):
        load_split(tmp_path / "split.csv", both)


counts_ = st.lists(st.integers(1, 60), min_size=1, max_size=12)
shares_ = st.sampled_from([(0.15, 0.15), (0.1, 0.2), (0.3, 0.3), (0.0, 0.25), (0.2, 0.0), (0.4, 0.4)])


@given(counts=counts_, shares=shares_, seed=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_single_pictures_are_divided_within_one_of_the_ideal(counts, shares, seed):
    catalog = make(counts)
    val, test = shares
    result = split(catalog, SplitConfig(val=val, test=test, seed=seed)).catalog
    ideals = {"train": 1 - val - test, "val": val, "test": test}
    assert [s.path for s in result.samples] == [s.path for s in catalog.samples]
    assert set(by_path(result).values()) <= set(PARTS)
    train = result.counts("train")
    for part, share in ideals.items():
        got = result.counts(part)
        for label, count in enumerate(counts):
            if count >= 3 and (part != "train" or share * count >= 1):
                assert abs(got[label] - share * count) < 1 + 1e-6 or train[label] == 1
    assert (train >= 1).all()
    large = sum(count for count in counts if count >= 3)
    for part in ("val", "test"):  # no drift over many classes either
        assert abs(result.counts(part).sum() - ideals[part] * large) <= 2 or (train == 1).any()


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    groups=st.integers(1, 30),
    across=st.booleans(),
    seed=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_a_group_is_never_divided_and_every_class_trains(counts, groups, across, seed):
    catalog = make(counts, group=lambda c, i: f"g{(i * 7 + (0 if across else c * 1000)) % (groups + c)}")
    result = split(catalog, SplitConfig(seed=seed)).catalog
    where = defaultdict(set)
    for sample in result.samples:
        assert sample.split in PARTS
        where[sample.group].add(sample.split)
    assert all(len(parts) == 1 for parts in where.values())
    assert (result.counts("train") >= 1).all()


def test_groups_come_near_the_shares():
    rng = np.random.default_rng(0)
    animal = {(c, i): f"animal {c}-{rng.integers(25)}" for c in range(5) for i in range(150)}
    result = split(make([150] * 5, group=lambda c, i: animal[c, i])).catalog
    for part, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert np.abs(result.counts(part) / 150 - share).max() < 0.05, result.counts(part)


@given(
    counts=counts_,
    seed=st.integers(0, 3),
    shuffle=st.randoms(use_true_random=False),
    folds=st.sampled_from([None, 3]),
)
@settings(max_examples=40, deadline=None)
def test_row_order_and_root_change_nothing(counts, seed, shuffle, folds):
    catalog = make(counts, group=lambda c, i: f"{c}-{i // 3}" if i % 2 else "")
    rows = list(range(len(catalog)))
    shuffle.shuffle(rows)
    config = SplitConfig(seed=seed, folds=folds, fold=None if folds is None else 1)
    try:
        first = split(catalog, config).catalog
    except ConfigError:  # so few pictures that the fold is empty
        return
    other = split(replace(catalog.subset(rows), root=Path("elsewhere")), config).catalog
    assert by_path(first) == by_path(other)
    assert split_hash(first) == split_hash(other)


@given(
    counts=counts_, seed=st.integers(0, 5), groups=st.sampled_from([0, 8]), val=st.sampled_from([0.05, 0.4])
)
@settings(max_examples=60, deadline=None)
def test_what_is_tested_does_not_depend_on_the_share_for_validation(counts, seed, groups, val):
    catalog = make(counts, group=(lambda c, i: f"{i % groups}") if groups else None)
    with_val, without = (
        by_path(split(catalog, SplitConfig(val=share, test=0.3, seed=seed)).catalog) for share in (val, 0.0)
    )
    assert {p for p, part in with_val.items() if part == "test"} == {
        p for p, part in without.items() if part == "test"
    }


def test_seed_decides():
    catalog = make([30, 30])
    assert by_path(split(catalog, SplitConfig(seed=1)).catalog) == by_path(
        split(catalog, SplitConfig(seed=1)).catalog
    )
    assert by_path(split(catalog, SplitConfig(seed=1)).catalog) != by_path(
        split(catalog, SplitConfig(seed=2)).catalog
    )


def test_small_classes_train_and_are_named():
    result = split(make([1, 2, 40]))
    assert result.catalog.counts("train")[:2].tolist() == [1, 2]
    assert any("class 0 (1), class 1 (2)" in note for note in result.notes)


def test_given_splits_stay_and_val_comes_from_train():
    catalog = make([40, 40], split_of=lambda c, i: "test" if i < 15 else "train")
    result = split(catalog)
    before, after = by_path(catalog), by_path(result.catalog)
    assert all(after[path] == "test" for path, part in before.items() if part == "test")
    assert Counter(after.values())["test"] == 30
    assert result.catalog.counts("val").tolist() in ([4, 4], [3, 4], [4, 3])  # 15 % of 25 = 3.75
    assert any("no val split" in note for note in result.notes)


def test_all_given_is_left_alone():
    catalog = make([9, 9], split_of=lambda c, i: PARTS[i % 3])
    result = split(catalog)
    assert result.catalog == catalog
    assert result.notes == ()


def test_train_and_val_given_takes_a_test_from_train():
    catalog = make([40, 40], split_of=lambda c, i: "val" if i < 10 else "train")
    result = split(catalog).catalog
    assert result.counts("val").tolist() == [10, 10]
    assert result.counts("test").sum() == 9  # 15 % of 60
    assert all(result.samples[i].split == "val" for i in range(10))


def test_unlabelled_pictures_stay_test_and_no_labelled_test_is_made():
    catalog = make([20, 20], split_of=lambda c, i: "train")
    loose = tuple(Sample(f"test/{i}.png") for i in range(7))
    result = split(replace(catalog, samples=catalog.samples + loose))
    assert {s.split for s in result.catalog.samples[40:]} == {"test"}
    assert {s.label for s in result.catalog.samples[40:]} == {-1}
    assert len(result.catalog.indices("test")) == 0
    assert len(result.catalog.indices("val")) == 6
    assert any("without a label" in note for note in result.notes)


def test_keep_given_false_draws_anew():
    catalog = make([40, 40], split_of=lambda c, i: "test" if i < 30 else "train")
    assert split(catalog, SplitConfig(keep_given=False)).catalog.counts("test").tolist() == [6, 6]


def test_given_splits_that_divide_a_group_are_refused():
    catalog = make([6], group=lambda c, i: "bird 7", split_of=lambda c, i: "test" if i else "train")
    with pytest.raises(
        DataError, match=r"divide group 'bird 7': c00/000.png is in train, c00/001.png in test"
    ):
        split(catalog)


def test_a_row_without_split_follows_its_group():
    catalog = make([40], group=lambda c, i: f"{i // 4}", split_of=lambda c, i: "test" if i in (0, 5) else "")
    result = by_path(split(catalog).catalog)
    assert [result[f"c00/{i:03d}.png"] for i in range(8)] == ["test"] * 8


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    folds=st.integers(2, 6),
    grouped=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_folds_partition_and_each_is_once_the_test(counts, folds, grouped):
    catalog = make(counts, group=(lambda c, i: f"{c}-{i // 2}") if grouped else None)
    result = split(catalog, SplitConfig(folds=folds))
    assert result.folds is not None
    tested = Counter()
    for fold in sorted(set(result.folds) - {-1}):
        chosen = split(catalog, SplitConfig(folds=folds, fold=fold)).catalog
        test = set(chosen.indices("test").tolist())
        assert test == {i for i, f in enumerate(result.folds) if f == fold}
        tested.update(test)
        assert (chosen.counts("train") >= 1).all()
        where = defaultdict(set)
        for sample in chosen.samples:
            assert sample.split in PARTS
            where[sample.group or sample.path].add(sample.split)
        assert all(len(parts) == 1 for parts in where.values())
    assert all(tested[i] == (1 if fold != -1 else 0) for i, fold in enumerate(result.folds))
    labels = catalog.labels
    per_class = 1 if not grouped else 2
    assert all(f != -1 for f, c in zip(result.folds, labels, strict=True) if counts[c] > per_class)
    if not grouped:
        for label, count in enumerate(counts):
            sizes = [
                sum(f == k and c == label for f, c in zip(result.folds, labels, strict=True))
                for k in range(folds)
            ]
            assert count == 1 or max(sizes) - min(sizes) <= 1


def test_folds_of_a_data_set_with_its_own_test_are_refused():
    catalog = make([10], split_of=lambda c, i: "test" if i < 3 else "train")
    with pytest.raises(ConfigError, match="keep_given"):
        split(catalog, SplitConfig(folds=3))
    assert split(catalog, SplitConfig(folds=3, keep_given=False)).folds is not None


def test_file_round_trip(tmp_path):
    catalog = make([10, 12], group=lambda c, i: f"{c}-{i // 2}")
    done = split(catalog).catalog
    save_split(done, tmp_path / "SPLIT.csv")
    with open(tmp_path / "SPLIT.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["path", "label", "split", "group", "fold"]
    assert [row["path"] for row in rows] == sorted(s.path for s in catalog.samples)
    bare = replace(catalog, samples=tuple(replace(s, group="") for s in catalog.samples))
    again = load_split(tmp_path / "SPLIT.csv", bare)
    assert again == done  # groups come back too
    assert split_hash(again) == split_hash(done)
    assert split(bare, SplitConfig(file=tmp_path / "SPLIT.csv")).catalog == done


def test_file_with_folds(tmp_path):
    catalog = make([10, 12])
    drawn = split(catalog, SplitConfig(folds=3))
    save_split(drawn.catalog, tmp_path / "S.csv", drawn.folds)
    with pytest.raises(DataError, match="choose a fold"):
        load_split(tmp_path / "S.csv", catalog)
    direct = split(catalog, SplitConfig(folds=3, fold=2)).catalog
    assert split(catalog, SplitConfig(file=tmp_path / "S.csv", fold=2)).catalog == direct
    with pytest.raises(ConfigError, match="folds 0 to 2"):
        split(catalog, SplitConfig(file=tmp_path / "S.csv", fold=3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], r"lacks c00/000.png"),
        (
            lambda rows: [*rows, ["new.png", "class 0", "test", "", ""]],
            r"lists, but the data set lacks, new.png",
        ),
        (lambda rows: [*rows, rows[0]], r"line 6: c00/000.png is listed twice"),
        (
            lambda rows: [[rows[0][0], "class 1", *rows[0][2:]], *rows[1:]],
            r"c00/000.png \('class 1', now 'class 0'\)",
        ),
        (lambda rows: [[*rows[0][:2], "dev", "", ""], *rows[1:]], r"line 2: split 'dev'"),
        (lambda rows: [[*rows[0][:4], "x"], *rows[1:]], r"line 2: fold 'x'"),
        (
            lambda rows: [[*rows[0][:2], "", "", ""], *rows[1:]],
            r"no split to 1 pictures \(first: c00/000.png\)",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, change, message):
    catalog = make([2, 2], split_of=lambda c, i: "train" if i else "test")
    rows = [[s.path, catalog.classes[s.label], s.split, "", ""] for s in catalog.samples]
    with open(tmp_path / "S.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([["path", "label", "split", "group", "fold"], *change(rows)])
    with pytest.raises(DataError, match=message):
        load_split(tmp_path / "S.csv", catalog)


def test_a_file_that_divides_a_group_of_the_catalog_is_refused(tmp_path):
    catalog = make([4], split_of=lambda c, i: "train" if i else "test")
    save_split(catalog, tmp_path / "S.csv")
    with pytest.raises(DataError, match="divide group 'frame 1'"):
        load_split(tmp_path / "S.csv", make([4], group=lambda c, i: "frame 1"))


def test_missing_file_and_columns(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_split(tmp_path / "none.csv", make([2]))
    (tmp_path / "bad.csv").write_text("path,split\n")
    with pytest.raises(DataError, match=r"lacks the columns \['label'\]"):
        load_split(tmp_path / "bad.csv", make([2]))


def test_hash_sees_path_class_and_split_only():
    catalog = make([3, 3], split_of=lambda c, i: PARTS[i])
    digest = split_hash(catalog)
    assert len(digest) == 12
    assert (
        split_hash(make([3, 3], split_of=lambda c, i: PARTS[i], group=lambda c, i: "x", root="b")) == digest
    )
    assert split_hash(make([3, 3], split_of=lambda c, i: PARTS[2 - i])) != digest
    assert split_hash(replace(catalog, classes=("a", "class 1"), class_ids=())) != digest


@pytest.mark.parametrize(
    "values", [{"val": 0.6, "test": 0.5}, {"fold": 1}, {"folds": 3, "fold": 3}, {"folds": 1}, {"tset": 0.1}]
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(ConfigError):
        parse(SplitConfig, values, source="test")


@given(counts=counts_, fewer=st.integers(1, 8), more=st.integers(0, 8), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_train_per_class_is_nested_and_leaves_val_and_test_alone(counts, fewer, more, seed):
    catalog = make(counts)
    whole = by_path(split(catalog, SplitConfig(seed=seed)).catalog)
    few = split(catalog, SplitConfig(seed=seed, train_per_class=fewer)).catalog
    many = by_path(split(catalog, SplitConfig(seed=seed, train_per_class=fewer + more)).catalog)
    kept = by_path(few)
    assert {p for p in kept if kept[p] == "train"} <= {p for p in many if many[p] == "train"}
    assert all(kept[p] == whole[p] for p in whole if whole[p] != "train")
    assert all(kept[p] in ("train", "") for p in whole if whole[p] == "train")
    available = Counter(p[:3] for p in whole if whole[p] == "train")
    taken = Counter(p[:3] for p in kept if kept[p] == "train")
    assert taken == {name: min(count, fewer) for name, count in available.items()}


def test_train_per_class_says_what_it_left_out():
    notes = " ".join(split(make([40, 6]), SplitConfig(train_per_class=10)).notes)
    assert "Training uses 10 pictures of each class; 18 training pictures are left unused." in notes
    assert "class 1 (4)" in notes


def test_judged_by_val_as_published_is_the_test_set_for_choosing() -> None:
    catalog = make([20, 20], split_of=lambda label, i: "test" if i < 8 else "train")
    ours, published = split(catalog, SplitConfig()), split(catalog, SplitConfig(judge="val"))
    assert Counter(by_path(ours.catalog).values())["val"] > 0
    given = by_path(catalog)
    assert by_path(published.catalog) == {
        path: "val" if part == "test" else "train" for path, part in given.items()
    }
    assert any("chosen on the test pictures" in note for note in published.notes)


def test_judged_by_val_needs_a_test_set() -> None:
    with pytest.raises(ConfigError, match="no labelled test pictures"):
        split(make([20, 20]), SplitConfig(judge="val", test=0))

"""The audit's result: files that can be read back, and a quarantine after which no error remains."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foveate.data.audit import CODES, HARD_MINIMUM, Audit, AuditConfig, Problem, audit
from foveate.data.catalog import Catalog, Sample

from .conftest import scene

PLAIN = AuditConfig(probes=False, near_duplicates=False)
PICTURES = 24


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0..23.png; k and k + 12 hold the same picture for k < 6; 10 and 11 are broken; m.png is a bad mask."""
    root = tmp_path_factory.mktemp("pool")
    for k in range(PICTURES):
        scene(k - 12 if 12 <= k < 18 else k).save(root / f"{k}.png")
    (root / "10.png").write_bytes(b"no")
    (root / "11.png").write_bytes((root / "11.png").read_bytes()[:200])
    scene(1, (20, 90)).convert("L").save(root / "m.png")
    return root


samples = st.lists(
    st.tuples(
        st.integers(-1, 2),
        st.sampled_from(["", "train", "val", "test"]),
        st.sampled_from(["", "", "g1", "g2"]),
        st.sampled_from(["", "", "", "png:m.png"]),
    ),
    min_size=1,
    max_size=PICTURES,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples, st.booleans())
def test_no_error_remains_after_quarantine(pool: Path, rows: list, given_splits: bool) -> None:
    catalog = Catalog(
        pool,
        ("a", "b", "c"),
        tuple(
            Sample(f"{k}.png", label, split if given_splits else "", mask, group)
            for k, (label, split, group, mask) in enumerate(rows)
        ),
    )
    first = audit(catalog, PLAIN)
    gone = first.quarantine()
    assert gone <= {sample.path for sample in catalog.samples}
    assert bool(gone) == bool(first.errors)
    kept = catalog.subset([row for row, sample in enumerate(catalog.samples) if sample.path not in gone])
    assert audit(kept, PLAIN).errors == ()


def test_test_copy_stays_and_training_copy_goes() -> None:
    rows = tuple(Sample(f"{s}{k}", 0, s) for s in ("train", "val", "test") for k in range(5))
    leak = Problem.of("duplicate-across-splits", "train0", "", ["train1", "val0", "test0", "test1"])
    group = Problem.of("group-across-splits", "train2", "", ["val1"])
    found = Audit((leak, group), (), Catalog(Path("/x"), ("a",), rows))
    assert found.quarantine() == {"train0", "train1", "val0", "train2"}


def test_class_that_quarantine_makes_too_small_goes_too() -> None:
    rows = tuple(Sample(f"a{k}", 0) for k in range(3)) + tuple(Sample(f"b{k}", 1) for k in range(4))
    bad = Problem.of("unreadable", "a1", "")
    found = Audit((bad,), (), Catalog(Path("/x"), ("a", "b"), rows))
    assert HARD_MINIMUM == 3
    assert found.quarantine() == {"a0", "a1", "a2"}


def test_every_error_says_what_leaves() -> None:
    for name, code in CODES.items():
        assert bool(code.leaves) == (code.severity == "error"), name


def test_files(pool: Path, tmp_path: Path) -> None:
    rows = tuple(Sample(f"{k}.png", k % 2, ("train", "test")[k // 12]) for k in range(PICTURES))
    found = audit(Catalog(pool, ("a", "b"), rows), AuditConfig())
    found.save_json(tmp_path / "out" / "check.json")
    found.save_csv(tmp_path / "check.csv")
    read = json.loads((tmp_path / "out" / "check.json").read_text())
    assert read["pictures"] == PICTURES
    assert read["classes"] == {"a": 12, "b": 12}
    assert read["splits"] == {"train": 12, "test": 12}
    assert read["errors"] == len(found.errors) == 2 + 6
    assert read["quarantine"] == sorted(found.quarantine())
    assert [cue["name"] for cue in read["cues"]] == [cue.name for cue in found.cues]
    with open(tmp_path / "check.csv", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [row["code"] for row in table] == [problem.code for problem in found.problems]
    assert table[-1].keys() == {"severity", "code", "path", "message", "related"}
    leak = next(row for row in table if row["code"] == "duplicate-across-splits")
    assert [leak["path"], *leak["related"].split(" | ")] == ["0.png", "12.png"]


def test_problems_come_errors_first(pool: Path) -> None:
    rows = tuple(Sample(f"{k}.png", k % 2) for k in range(PICTURES))
    severities = [p.severity for p in audit(Catalog(pool, ("a", "b"), rows), PLAIN).problems]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert np.unique(severities).tolist() == ["error", "warning"]

"""The gallery file: what is drawn, and that it comes back."""

from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.core.errors import RunError
from foveate.data.batch import Batch
from foveate.data.catalog import Catalog, Sample
from foveate.evaluation.gallery import Maps, choose_rows, compute_maps
from foveate.evaluation.predictions import PredictionTable
from foveate.explanation.maps import class_map, min_max

from .conftest import TinyNetwork


def catalog_and_table(n: int, wrong: int, masked: int) -> tuple[Catalog, PredictionTable]:
    samples = tuple(Sample(f"{i}.jpg", i % 2, "test", mask="png:x" if i < masked else "") for i in range(n))
    catalog = Catalog(Path("data"), ("a", "b"), samples)
    logits = np.zeros((n, 2))
    logits[np.arange(n), [(i % 2) ^ (i < wrong) for i in range(n)]] = 3
    return catalog, PredictionTable.from_catalog(logits, catalog, np.arange(n))


@pytest.mark.parametrize(("wrong", "expected"), [(20, 6), (2, 2), (0, 0), (39, 11), (40, 12)])
def test_half_wrong_half_right_where_possible(wrong: int, expected: int) -> None:
    catalog, table = catalog_and_table(40, wrong, 0)
    rows = choose_rows(table, catalog)
    assert len(set(rows.tolist())) == 12
    assert (~table.correct[rows]).sum() == expected
    np.testing.assert_array_equal(rows, choose_rows(table, catalog))


def test_masked_pictures_only() -> None:
    catalog, table = catalog_and_table(40, 3, masked=7)
    assert sorted(choose_rows(table, catalog)) == list(range(7))


def test_saved_maps_come_back(network: TinyNetwork, batches: list[Batch], tmp_path: Path) -> None:
    rows = np.array([109, 101, 108])
    whole = [
        torch.cat([getattr(b, name) for b in batches])
        for name in ("images", "targets", "masks", "has_mask", "index")
    ]
    chosen = Batch(*(values[rows - 100] for values in whole))
    made = compute_maps(network, [chosen], device="cpu", tap="late")
    made.save(tmp_path / "maps.npz")
    back = Maps.load(tmp_path / "maps.npz")
    np.testing.assert_array_equal(back.index, rows)
    assert back.image.shape == (3, 16, 16, 3)
    assert list(back.maps) == ["class map", "tap late"]
    assert all(values.dtype == np.float16 for values in back.maps.values())
    np.testing.assert_array_equal(back.image, made.image)
    np.testing.assert_array_equal(back.image[1], batches[0].images[1].permute(1, 2, 0))
    assert (back.mask[0] == 0).all()  # 109 has no mask
    assert (back.maps["class map"][2] == 0).all()  # 108 has no label
    x = batches[0].prepare("cpu", network.mean, network.std).images[1:2]
    expected = min_max(class_map(network, x, torch.tensor([1]), "late"))[0]
    np.testing.assert_allclose(back.maps["class map"][1], expected, atol=2e-3)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.npz").write_bytes(b"PK nonsense")
    with pytest.raises(RunError, match="cannot be read"):
        Maps.load(tmp_path / "m.npz")

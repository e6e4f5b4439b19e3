"""Pictures unlike those of the training are called far, and the run's own seldom are."""

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from foveate.core.errors import DataError
from foveate.core.nearest import distance_to_nth
from foveate.experiment import Run
from foveate.experiment import familiarity as module
from foveate.experiment.familiarity import Familiarity


def test_distances_are_those_to_the_fifth_neighbour(finished: Run) -> None:
    """Against features from the network itself and a full matrix of distances."""
    import torch

    catalog, size = finished.catalog, finished.environment["size"]
    model = finished.model

    def unit(row: int) -> np.ndarray:
        with Image.open(catalog.file(row)) as image:
            pixels = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)) / 255
        images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            images = (images - model.mean[:, None, None]) / model.std[:, None, None]
            features = model.features(images)[0].double().numpy()
        found: np.ndarray = features / np.linalg.norm(features)
        return found

    train = np.stack([unit(row) for row in catalog.indices("train")])
    tests = catalog.indices("test")
    expected = [np.sort(np.linalg.norm(train - unit(row), axis=1))[4] for row in tests]
    known = finished.familiarity()
    table = finished.predict([catalog.file(row) for row in tests], familiarity=known)
    assert table.look["distance"] == pytest.approx(expected, abs=2e-3)
    np.testing.assert_array_equal(table.look["far"], table.look["distance"] > known.limit)
    assert known.measured is not None
    assert known.measured[0] == pytest.approx(table.look["far"].mean())


def test_features_are_kept(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = finished.familiarity()
    monkeypatch.setattr(type(finished.model), "features", lambda self, images: pytest.fail("computed again"))
    assert finished.familiarity().limit == before.limit


def test_what_is_gone_is_told(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "some", lambda rows, most, *seed: rows[:0] if "val" in seed else rows)
    with pytest.raises(DataError, match="kept no validation pictures"):
        finished.familiarity()


@pytest.mark.parametrize("n", [30, 120])
def test_the_false_alarm_rate_is_kept(n: int) -> None:
    """Simulated: new pictures of the same kind, over many draws of the validation pictures."""
    rng = np.random.default_rng(n)
    rates, promised = [], 0.0
    for _ in range(300):
        train, val, new = (rng.normal(size=(size, 8)) for size in (200, n, 400))
        train, val, new = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (train, val, new))
        limit, promised = module.limit_of(distance_to_nth(train, val, 5))
        rates.append((distance_to_nth(train, new, 5) > limit).mean())
        truth = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(train).kneighbors(val)[0][:, -1]
        np.testing.assert_allclose(distance_to_nth(train, val, 5), truth, atol=1e-6)
    assert promised == pytest.approx(max(0.02, 1 / (n + 1)), abs=0.005)
    assert np.mean(rates) <= promised + 3 * np.std(rates) / np.sqrt(300)


def test_words_state_the_rate() -> None:
    known = Familiarity(np.zeros((0, 8)), 0.5, 0.0196, 50, (0.03, (0.01, 0.08), 100))
    assert known.words == (
        "False alarms, by 50 validation pictures: 2.0 % or fewer of pictures like the run's own; 3.0 % (1.0 to 8.0) of "
        "its 100 test pictures."
    )

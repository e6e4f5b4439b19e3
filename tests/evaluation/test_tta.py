"""Test-time views against numpy and scipy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, rotate

from foveate.core.errors import ConfigError
from foveate.evaluation.tta import TTA, parse_tta, rotation, views
from foveate.experiment import Experiment


def pictures(height: int = 24, width: int = 20) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_every_preset_keeps_the_shape_and_starts_with_the_picture() -> None:
    for name in TTA:
        found = list(views(name, pictures()))
        assert all(view.shape == (2, 3, 24, 20) for view in found)
        assert torch.equal(found[0], pictures())


def test_plants8_is_eight_views_of_the_report() -> None:
    x = pictures().numpy()
    found = [view.numpy() for view in views("plants8", pictures())]
    assert len(found) == 8
    expected = [x, x[..., ::-1], np.roll(x, -3, 2), np.roll(x, 3, 2), np.roll(x, -3, 3), np.roll(x, 3, 3)]
    for mine, theirs in zip(found[:6], expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_flips() -> None:
    x = pictures().numpy()
    for mine, theirs in zip(
        views("flips", pictures()), [x, x[..., ::-1], x[:, :, ::-1], x[:, :, ::-1, ::-1]], strict=True
    ):
        np.testing.assert_array_equal(mine.numpy(), theirs)


@pytest.mark.parametrize("shape", [(24, 24), (24, 40)])
@pytest.mark.parametrize("degrees", [-10.0, 10.0, 35.0])
def test_rotation_is_scipys(shape: tuple[int, int], degrees: float) -> None:
    x = gaussian_filter(np.random.default_rng(0).normal(size=(1, 3, *shape)), (0, 0, 2, 2)).astype(np.float32)
    theirs = rotate(x, degrees, axes=(3, 2), reshape=False, order=1, mode="nearest")
    linear = rotation(degrees, "bilinear")(torch.tensor(x)).numpy()
    np.testing.assert_allclose(linear, theirs, atol=1e-5)
    cubic = rotation(degrees)(torch.tensor(x)).numpy()
    spline = rotate(x, degrees, axes=(3, 2), reshape=False, order=3, mode="nearest")
    inner = (..., slice(4, -4), slice(4, -4))
    assert np.abs(cubic - spline)[inner].max() < 0.06 * np.abs(x).max()


def test_rotation_is_counter_clockwise() -> None:
    x = pictures(11, 11)
    np.testing.assert_allclose(rotation(90)(x).numpy(), np.rot90(x.numpy(), 1, (2, 3)), atol=1e-4)


def test_views_at_the_recorded_size_reach_the_network_at_its_own() -> None:
    x = pictures(24, 24)
    found = list(views("shifts@24", x, 48))
    assert all(view.shape == (2, 3, 48, 48) for view in found)
    native = torch.roll(x, (-3, 0), (2, 3))
    grown = torch.nn.functional.interpolate(native, (48, 48), mode="bilinear", antialias=True)
    assert torch.equal(found[1], grown)
    # A shift of 3 recorded pixels is one of 6 at twice the size, not of 3.
    whole = torch.nn.functional.interpolate(x, (48, 48), mode="bilinear", antialias=True)
    inner = (..., slice(8, -8), slice(8, -8))
    assert torch.allclose(found[1][inner], torch.roll(whole, (-6, 0), (2, 3))[inner], atol=1e-5)
    smooth = torch.nn.functional.interpolate(native, (48, 48), mode="bicubic", antialias=True)
    assert torch.equal(list(views("shifts@24", x, 48, "bicubic"))[1], smooth)
    assert all(torch.equal(a, b) for a, b in zip(views("shifts@24", x, 24), views("shifts", x), strict=True))


@pytest.mark.parametrize("name", ["plants8@", "plants8@big", "plants8@4"])
def test_a_side_is_a_number_of_pixels(name: str) -> None:
    with pytest.raises(ConfigError, match="after @ comes a side"):
        parse_tta(name)


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match="no test-time augmentation 'plant'; choose one of none, flip"):
        views("plant", pictures())


def test_settings_of_a_preset() -> None:
    x = pictures()
    found = list(views({"kind": "shifts", "pixels": 5}, x))
    assert torch.equal(found[1], torch.roll(x, (-5, 0), (2, 3)))
    assert parse_tta({"kind": "rotations", "side": 96}) == parse_tta("rotations@96")
    with pytest.raises(ConfigError, match="pixels"):
        parse_tta({"kind": "rotations", "pixels": 5})


def test_an_experiment_keeps_a_name_as_it_was_written() -> None:
    """So that the hashes of recorded experiments stay."""
    plain, same = (
        Experiment.from_dict({"evaluation": {"tta": given}}) for given in ("plants8@96", {"kind": "plants8"})
    )
    assert plain.evaluation.tta == "plants8@96"
    assert same.evaluation.tta == parse_tta("plants8")
    assert Experiment.from_dict(same.model_dump(mode="json")) == same
    with pytest.raises(ConfigError, match="no test-time augmentation"):
        Experiment.from_dict({"evaluation": {"tta": {"kind": "upside"}}})

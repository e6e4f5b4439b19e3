"""One picture: what the masks hold, what the species changes, what chance changes."""

import numpy as np
import pytest
from scipy import ndimage

from foveate.core.config import parse
from foveate.core.rng import numpy_generator
from foveate.data.synthetic import BACKGROUNDS, SPECIES, Picture, SyntheticConfig, draw_picture
from foveate.data.synthetic.drawing import Light, rods
from foveate.data.synthetic.insects import Beetle

KINDS = {kind.name: kind for kind in SPECIES}
NAMES = list(KINDS)


def _draw(
    species: str, background: str = "moss", seed: int = 0, size: int = 96, **options: object
) -> Picture:
    config = parse(SyntheticConfig, {"size": size, **options}, source="test")
    return draw_picture(KINDS[species], background, numpy_generator("test", seed), config)


def test_tables_have_a_background_for_every_species() -> None:
    assert len(SPECIES) == len(BACKGROUNDS) == len(set(NAMES)) == len(set(BACKGROUNDS)) == 8


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_shapes_types_and_values(background: str) -> None:
    picture = _draw("vittatus", background, size=64)
    assert picture.image.shape == (64, 64, 3)
    assert picture.mask.shape == picture.mark.shape == (64, 64)
    assert picture.image.dtype == picture.mask.dtype == picture.mark.dtype == np.uint8
    assert set(np.unique(picture.mask)) == set(np.unique(picture.mark)) == {0, 255}
    assert 25 < picture.image.mean() < 215  # neither black nor burnt out
    assert picture.image.std() > 15


@pytest.mark.parametrize("seed", range(4))
def test_species_differ_in_the_pixels_of_their_marks_only(seed: int) -> None:
    pictures = {name: _draw(name, seed=seed) for name in NAMES}
    first = pictures[NAMES[0]]
    for name in NAMES[1:]:
        other = pictures[name]
        np.testing.assert_array_equal(other.mask, first.mask)
        differs = (other.image != first.image).any(-1)
        marks = (first.mark > 0) | (other.mark > 0)
        assert not (differs & ~marks).any()
        assert differs.sum() > 30  # and there they do differ


@pytest.mark.parametrize("size", [48, 96, 160])
@pytest.mark.parametrize("name", NAMES)
def test_mark_lies_inside_the_body_and_is_visible(name: str, size: int) -> None:
    for seed in range(6):
        picture = _draw(name, seed=seed, size=size)
        mask, mark = picture.mask > 0, picture.mark > 0
        # The body without legs and feelers, by opening: strokes are thinner than a twelfth of the picture.
        trunk = ndimage.binary_opening(mask, iterations=max(2, size // 24))
        assert not (mark & ~trunk).any()
        share = mark.mean()
        assert 0.008 < share < 0.12
        assert 0.1 < mask.mean() < 0.5
        widest = ndimage.distance_transform_cdt(np.pad(mark, 1), "chessboard").max()
        assert 2 * widest - 1 >= 0.04 * size  # several pixels wide


def test_mask_is_the_animal_without_its_shadow() -> None:
    rng = numpy_generator("mask")
    colour, alpha, _ = Beetle(rng, Light.sample(rng), 96, (0.56, 0.74), 20.0).draw(SPECIES[0])
    mask = alpha > 0.34
    assert (alpha > 0.99).sum() > 0.5 * mask.sum()
    np.testing.assert_array_equal(colour[:, alpha == 0], 0)
    # Legs and feelers belong to it: much of the outline lies far from the trunk.
    trunk = ndimage.binary_dilation(ndimage.binary_opening(mask, iterations=4), iterations=2)
    assert (mask & ~trunk).sum() > 0.08 * mask.sum()
    # One animal, not a heap of parts.
    _, parts = ndimage.label(mask, np.ones((3, 3)))
    assert parts <= 3


def test_where_the_mask_says_animal_the_ground_does_not_shine_through() -> None:
    """On two grounds the same animal: where they agree is the mask, but for its edge and the picture's noise."""
    light, dark = (_draw("lunatus", ground, seed=3, clutter=0) for ground in ("sand", "moss"))
    np.testing.assert_array_equal(light.mask, dark.mask)
    differs = np.abs(light.image.astype(int) - dark.image).max(-1)
    inner = ndimage.binary_erosion(light.mask > 0, iterations=2)
    assert np.median(differs[light.mask == 0]) > 4 * np.median(differs[inner])


def test_pictures_repeat_and_follow_their_generator() -> None:
    once, again, other = _draw("annulatus", seed=1), _draw("annulatus", seed=1), _draw("annulatus", seed=2)
    np.testing.assert_array_equal(once.image, again.image)
    assert (once.image != other.image).mean() > 0.5


def test_scale_and_turn_are_kept() -> None:
    for seed in range(20):
        rng = numpy_generator(seed)
        beetle = Beetle(rng, Light.sample(rng), 48, (0.4, 0.5), 10.0)
        assert 0.4 <= beetle.length <= 0.5
        assert abs(beetle.turn) <= 10
    small, large = (_draw("vittatus", object_scale=(side, side)) for side in (0.3, 0.6))
    assert 3 < (large.mask > 0).sum() / (small.mask > 0).sum() < 5  # area goes with the square


def test_an_animal_beyond_the_frame_is_cut_not_refused() -> None:
    assert (_draw("fasciatus", object_scale=(0.9, 0.9), turn=180.0).mask > 0).any()


def test_backgrounds_are_told_apart_by_mean_colour() -> None:
    """The temptation: nearest mean colour of the corners names the background far above chance."""
    rows, labels = [], []
    for label, background in enumerate(BACKGROUNDS[:6]):
        for seed in range(12):
            image = _draw("vittatus", background, seed=seed, size=48, clutter=0).image / 255
            rows.append(np.concatenate([image[:8], image[-8:]]).reshape(-1, 3).mean(0))
            labels.append(label)
    features, labels_ = np.array(rows), np.array(labels)
    means = np.stack([features[0::2][labels_[0::2] == label].mean(0) for label in range(6)])
    found = np.linalg.norm(features[1::2, None] - means, axis=-1).argmin(1)
    assert (found == labels_[1::2]).mean() > 0.6  # chance is 0.17


def test_rods_are_as_wide_and_as_high_as_their_radii() -> None:
    """A rod of even radius: its area is that of a rectangle with two half discs, its ridge as high as the radius."""
    coverage, height = rods(64, [((12 + 20j, 32 + 20j, 52 + 20j), (4.0, 4.0, 4.0))])
    assert coverage.sum() == pytest.approx(40 * 8 + np.pi * 16, rel=0.01)
    assert height.max() == pytest.approx(4, abs=0.05)
    assert not coverage[30:].any()
    beyond = [((80 + 80j, 99 + 70j), (3.0, 2.0)), ((-9j, -30 - 9j), (3.0, 2.0))]
    np.testing.assert_array_equal(rods(64, beyond)[0], 0)

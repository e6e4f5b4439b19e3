"""One picture: what the masks hold, what the species changes, what chance changes."""

import numpy as np
import pytest
from scipy import ndimage

from foveate.core.errors import ConfigError
from foveate.core.rng import numpy_generator
from foveate.data.synthetic import BACKGROUNDS, SPECIES, Picture, draw_picture
from foveate.data.synthetic.backgrounds import draw_sheet
from foveate.data.synthetic.drawing import Light, reduce_by
from foveate.data.synthetic.insects import Specimen, draw_insect

NAMES = [kind.name for kind in SPECIES]


def _draw(species: str, background: str = "moss", seed: int = 0, size: int = 96, **options: float) -> Picture:
    return draw_picture(species, background, numpy_generator("test", seed), size, **options)


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
    light = Light.sample(rng)
    insect = draw_insect(SPECIES[0], Specimen.sample(rng), light, 96)
    assert insect.alpha[insect.mask].min() > 0.34
    assert insect.alpha[~insect.mask].max() <= 0.34
    assert (insect.alpha > 0.99).sum() > 0.5 * insect.mask.sum()
    np.testing.assert_array_equal(insect.colour[insect.alpha == 0], 0)
    # Legs and feelers belong to it: much of the outline lies far from the trunk.
    trunk = ndimage.binary_dilation(ndimage.binary_opening(insect.mask, iterations=4), iterations=2)
    assert (insect.mask & ~trunk).sum() > 0.08 * insect.mask.sum()
    # One animal, not a heap of parts.
    _, parts = ndimage.label(insect.mask, np.ones((3, 3)))
    assert parts <= 3


def test_pictures_repeat_and_follow_their_generator() -> None:
    once, again, other = _draw("annulatus", seed=1), _draw("annulatus", seed=1), _draw("annulatus", seed=2)
    np.testing.assert_array_equal(once.image, again.image)
    assert (once.image != other.image).mean() > 0.5


def test_body_does_not_depend_on_the_background() -> None:
    rng = numpy_generator("sheet")
    sheets = {name: draw_sheet(name, rng, 64) for name in ("sand", "leaf")}
    masks = [
        draw_picture("lunatus", name, numpy_generator(5), 64, sheet=sheet).mask
        for name, sheet in sheets.items()
    ]
    np.testing.assert_array_equal(*masks)


def test_scale_and_turn_are_kept() -> None:
    for seed in range(20):
        specimen = Specimen.sample(numpy_generator(seed), (0.4, 0.5), 10.0)
        assert 0.4 <= specimen.length <= 0.5
        assert abs(np.degrees(specimen.turn)) <= 10
    small, large = _draw("vittatus", scale=(0.3, 0.3)), _draw("vittatus", scale=(0.6, 0.6))
    assert 3 < (large.mask > 0).sum() / (small.mask > 0).sum() < 5  # area goes with the square


def test_an_animal_beyond_the_frame_is_cut_not_refused() -> None:
    assert (_draw("fasciatus", scale=(0.9, 0.9), turn=180.0).mask > 0).any()


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


def test_reduce_by_is_the_block_mean() -> None:
    picture = np.random.default_rng(0).random((12, 12, 3)).astype(np.float32)
    expected = picture.reshape(4, 3, 4, 3, 3).mean((1, 3))
    np.testing.assert_allclose(reduce_by(picture, 3), expected, rtol=1e-5)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no species 'maximus'; choose one of bimaculatus, .*lunatus"):
        _draw("maximus")
    with pytest.raises(ConfigError, match=r"no background 'snow'; choose one of leaf, .*autumn"):
        _draw("vittatus", "snow")

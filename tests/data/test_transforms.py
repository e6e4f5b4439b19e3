"""Augmentation: masks move with pictures, keys decide, kernels agree with torchvision."""

import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foveate.core.config import deciding, parse
from foveate.core.errors import ConfigError
from foveate.core.torchvision_guard import transforms_v2 as v2
from foveate.data.presets import PRESETS
from foveate.data.steps import STEPS, Colour, Geometry, gaussian_blur
from foveate.data.transforms import AugmentationConfig, Transform, _Run, build_transform

SIDE = 48
BILINEAR = v2.InterpolationMode.BILINEAR


def photo(side: int = SIDE, seed: int = 0) -> torch.Tensor:
    """Smooth colours, (3, side, side) uint8."""
    coarse = torch.rand((1, 3, 6, 6), generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (side, side), mode="bicubic").mul(255).clamp(0, 255).to(torch.uint8)[0]


def blob(side: int = SIDE) -> torch.Tensor:
    """An off-centre, asymmetric object, (1, side, side) uint8 0/255."""
    mask = torch.zeros((1, side, side), dtype=torch.uint8)
    mask[:, side // 8 : side // 2, side // 3 : side - 4] = 255
    mask[:, side // 2 : side - 6, side // 3 : side // 2] = 255
    return mask


def only(name: str, size: int = SIDE, fill: str = "reflect", **values) -> Transform:
    config = parse(
        AugmentationConfig, {"steps": [{"name": name, "p": 1, **values}], "fill": fill}, source="test"
    )
    return build_transform(config, size)


def run(matrix, image, mask=None, size=SIDE, fill="reflect", copy=False, mode=0):
    """Apply a matrix by resampling, or by copying whole pixels."""
    work = _Run(image, mask, size, fill, mode)
    assert work.move_whole_pixels(matrix) if copy else work.resample(matrix) is None
    return work.finish()


geometric = st.sampled_from(
    [
        {"kind": "hflip", "p": 1},
        {"kind": "vflip", "p": 1},
        {"kind": "turn"},
        {"kind": "shift", "x": 0.3, "y": 0.3},
        {"kind": "rotate", "degrees": 40},
        {"kind": "zoom"},
        {"kind": "crop"},
        {"kind": "shear"},
        {"kind": "cutout", "value": 0},
    ]
)


@given(
    steps=st.lists(geometric, min_size=1, max_size=4),
    key=st.integers(0, 1000),
    size=st.sampled_from([32, 48, 64]),
)
@example(
    [{"kind": "turn"}, {"kind": "rotate", "degrees": 40}, {"kind": "cutout", "value": 0}, {"kind": "zoom"}],
    0,
    64,
)
@settings(max_examples=60, deadline=None)
def test_a_picture_made_of_its_own_mask_stays_equal_to_it(steps, key, size):
    mask = blob()
    transform = build_transform(AugmentationConfig(steps=tuple(steps), fill="black"), size)
    image, moved = transform(mask.expand(3, -1, -1).contiguous(), mask, key)
    assert image.shape == (3, size, size)
    assert moved.shape == (1, size, size)
    assert set(moved.unique().tolist()) <= {0, 255}
    differ = (image[:1] > 127) != (moved > 127)
    # Bilinear and nearest may disagree only where the object's border is.
    wide = F.max_pool2d(moved[None].float(), 3, 1, 1)[0]
    narrow = -F.max_pool2d(-moved[None].float(), 3, 1, 1)[0]
    # In the outermost pixels it may lie just outside of the picture, where the mask does not show it.
    assert not (differ & (wide == narrow))[:, 1:-1, 1:-1].any()


@given(
    steps=st.lists(
        geometric.filter(lambda s: s["kind"] in ("hflip", "vflip", "turn", "shift", "cutout")), max_size=5
    )
)
@settings(max_examples=40, deadline=None)
def test_flips_turns_and_whole_shifts_move_both_exactly(steps):
    mask = blob()
    transform = build_transform(AugmentationConfig(steps=tuple(steps), fill="black"), SIDE)
    image, moved = transform(mask.expand(3, -1, -1).contiguous(), mask, "exact")
    assert torch.equal(image, moved.expand(3, -1, -1))


@pytest.mark.parametrize("fill", ["reflect", "black", "mean"])
@pytest.mark.parametrize("flips", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-7, 0)])
def test_copying_whole_pixels_equals_resampling(fill, flips, shift):
    matrix = np.diag([*flips, 1]).astype(float)
    matrix[:2, 2] = np.array(shift) * 2 / SIDE
    fast = run(matrix, photo(), blob(), fill=fill, copy=True)
    slow = run(matrix, photo(), blob(), fill=fill)
    assert torch.equal(fast[0], slow[0])
    assert torch.equal(fast[1], slow[1])


def test_a_shift_to_the_right_moves_content_to_the_right():
    matrix = np.eye(3)
    matrix[0, 2] = -2 * 5 / SIDE  # what Shift draws for +5 pixels
    image, mask = run(matrix, photo(), blob(), copy=True)
    assert torch.equal(image[:, :, 5:], photo()[:, :, :-5])
    assert torch.equal(image[:, :, :5], photo()[:, :, :5].flip(2))  # the mirror image
    assert mask[:, :, :5].sum() == 0


@pytest.mark.parametrize("degrees", [-30.0, 12.5, 90.0])
def test_rotation_agrees_with_torchvision(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    ours, mask = run(matrix, photo(), blob(), fill="black")
    theirs = v2.functional.rotate(photo(), degrees, interpolation=BILINEAR)
    inside = v2.functional.rotate(torch.full((1, SIDE, SIDE), 255, dtype=torch.uint8), degrees) == 255
    inside = -F.max_pool2d(-inside[None].float(), 5, 1, 2)[0] > 0
    assert inside.sum() > SIDE**2 / 2
    assert ((ours.int() - theirs.int()).abs() * inside).max() <= 1
    assert (mask != v2.functional.rotate(blob(), degrees)).float().mean() < 0.005


def test_bicubic_is_cubic_convolution():
    """Keys, 1981, with a = -3/4, written out for a move by parts of a pixel."""
    x, y = 0.3, 0.6
    matrix = np.array([[1, 0, 2 * x / SIDE], [0, 1, 2 * y / SIDE], [0, 0, 1]])
    image = torch.randint(0, 256, (3, SIDE, SIDE), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    ours, mask = run(matrix, image, blob(), mode=2)

    def weight(d, a=-0.75):
        d = abs(d)
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0

    pixels = image.numpy().astype(float)
    for row, column in [(5, 7), (20, 33), (40, 2)]:
        plain = sum(
            weight(k - y) * weight(m - x) * pixels[:, row + k, column + m]
            for k in (-1, 0, 1, 2)
            for m in (-1, 0, 1, 2)
        )
        assert np.abs(ours[:, row, column].numpy() - plain.clip(0, 255)).max() <= 0.51
    assert torch.equal(mask, run(matrix, image, blob())[1])  # masks stay black and white, at the same places


def test_bicubic_keeps_a_picture_sharper_than_bilinear():
    sharp = torch.randint(0, 256, (3, SIDE, SIDE), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
    left = {}
    for interpolation in ("bilinear", "bicubic"):
        config = AugmentationConfig(steps=({"kind": "rotate", "degrees": 3},), interpolation=interpolation)
        turned = [build_transform(config, SIDE)(sharp, None, "test", k)[0] for k in range(8)]
        left[interpolation] = np.mean([image.float().diff(dim=2).var() for image in turned])
    before = sharp.float().diff(dim=2).var()
    assert left["bilinear"] < 0.55 * before
    assert left["bicubic"] > 1.4 * left["bilinear"]


def test_crop_agrees_with_torchvision():
    top, left, height, width = 6, 10, 30, 24
    matrix = np.array(
        [
            [width / SIDE, 0, (2 * left + width) / SIDE - 1],
            [0, height / SIDE, (2 * top + height) / SIDE - 1],
            [0, 0, 1],
        ]
    )
    ours, mask = run(matrix, photo(), blob())
    theirs = v2.functional.resized_crop(
        photo(), top, left, height, width, [SIDE, SIDE], BILINEAR, antialias=False
    )
    difference = (ours.int() - theirs.int()).abs()[:, 2:-2, 2:-2]  # at the rim ours sees the neighbours
    assert difference.max() <= 1
    nearest = v2.functional.resized_crop(
        blob(), top, left, height, width, [SIDE, SIDE], v2.InterpolationMode.NEAREST_EXACT
    )
    assert torch.equal(mask, nearest)


def test_steps_compose_in_the_order_they_are_listed():
    half_left = np.array([[0.5, 0, -0.5], [0, 1, 0], [0, 0, 1]])  # crop to the left half
    flip = np.diag([-1.0, 1, 1])
    image = photo()
    work = _Run(image, None, SIDE, "reflect")
    work.add(Geometry(half_left))
    work.add(Geometry(flip))
    fused, _ = work.finish()
    apart, _ = run(flip, run(half_left, image)[0])
    assert (fused.int() - apart.int()).abs().max() <= 1  # halves are rounded either way
    assert (fused.int() - image.int()).abs().max() > 50


@pytest.mark.parametrize(
    ("operation", "theirs", "tolerance"),
    [
        (Colour(np.eye(3) * 1.3, pivot=True), lambda x: v2.functional.adjust_contrast(x, 1.3), 1),
        (Colour(np.eye(3) * 0.6, pivot=True), lambda x: v2.functional.adjust_contrast(x, 0.6), 1),
        (Colour(np.eye(3), bias=40), lambda x: (x.int() + 40).clamp(0, 255), 0),
        (
            STEPS["grey"]().draw(np.random.default_rng(0), SIDE),
            lambda x: v2.functional.rgb_to_grayscale(x, 3),
            1,
        ),
        (
            Colour(0.5 * np.eye(3) + 0.5 * np.tile([0.299, 0.587, 0.114], (3, 1))),
            lambda x: v2.functional.adjust_saturation(x, 0.5),
            1,
        ),
    ],
)
def test_colours_agree_with_torchvision(operation, theirs, tolerance):
    work = _Run(photo(), None, SIDE, "reflect")
    work.add(operation)
    ours, _ = work.finish()
    assert (ours.int() - theirs(photo()).int()).abs().max() <= tolerance


def test_gain_is_torchvisions_brightness():
    factors = []
    for seed in range(20):
        drawn = STEPS["gain"](amount=0.3).draw(np.random.default_rng(seed), SIDE)
        work = _Run(photo(), None, SIDE, "reflect")
        work.add(drawn)
        factors.append(np.random.default_rng(seed).uniform(0.7, 1.3))
        theirs = v2.functional.adjust_brightness(photo(), factors[-1])
        assert (work.finish()[0].int() - theirs.int()).abs().max() <= 1
    assert min(factors) < 0.85 < 1.15 < max(factors)


def test_fused_colours_equal_colours_one_by_one():
    rng = np.random.default_rng(1)
    drawn = [STEPS[name]().draw(rng, SIDE) for name in ("contrast", "colour", "brightness", "contrast")]
    soft = (photo().float() * 0.5 + 60).to(torch.uint8)  # far from 0 and 255: clipping is the only difference
    fused = _Run(soft, None, SIDE, "reflect")
    apart = _Run(soft, None, SIDE, "reflect")
    for operation in drawn:
        fused.add(operation)
        apart.add(operation)
        apart.flush_colours()
    assert (fused.finish()[0].int() - apart.finish()[0].int()).abs().max() <= 1


def test_hue_turns_colours_and_keeps_luminance():
    grey = torch.full((3, SIDE, SIDE), 120, dtype=torch.uint8)
    transform = only("colour", saturation=0, hue=0.5)
    assert (transform(grey, None, 1)[0].int() - 120).abs().max() <= 1
    soft = (photo().float() * 0.3 + 90).to(torch.uint8)
    turned = transform(soft, None, 1)[0]
    assert (turned.int() - soft.int()).abs().max() > 20
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    assert ((turned - soft.float()) * weights).sum(0).abs().max() < 2


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.3])
def test_blur_agrees_with_torchvision(sigma):
    kernel = 2 * max(1, int(np.ceil(3 * sigma))) + 1
    ours = gaussian_blur(photo().float(), sigma)
    theirs = v2.functional.gaussian_blur(photo().float(), [kernel, kernel], [sigma, sigma])
    assert (ours - theirs).abs().max() < 0.01


def test_cutout_hides_a_rectangle_and_the_mask_under_it():
    image = torch.full((3, SIDE, SIDE), 200, dtype=torch.uint8)
    whole = torch.full((1, SIDE, SIDE), 255, dtype=torch.uint8)
    sizes = set()
    for key in range(40):
        out, mask = only("cutout", height=[0.25, 0.25], width=[0.5, 0.5], value=7)(image, whole, key)
        hole = out[0] == 7
        assert torch.equal(mask[0] == 0, hole)
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & columns)
        sizes.add((int(rows.sum()), int(columns.sum())))
    assert max(sizes) == (12, 24)
    assert len(sizes) > 1  # cut off at the border
    assert image.min() == 200  # the input is left alone
    assert whole.min() == 255
    dark, _ = only("cutout")(photo(), None, 0)
    changed = (dark != photo()).any(0)
    assert torch.allclose(
        dark[:, changed].float(), photo().float().mean((1, 2), keepdim=True).round()[:, :, 0]
    )


@pytest.mark.parametrize("preset", list(PRESETS))
def test_keys_decide(preset):
    transform = pickle.loads(pickle.dumps(build_transform(AugmentationConfig(preset=preset), SIDE)))
    image, mask = photo(), blob()
    first = transform(image, mask, 0, "augment", 3, 17)
    other_rng = np.random.default_rng(5)
    other_rng.random(10)
    torch.rand(3)
    again = transform(image, mask, 0, "augment", 3, 17)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert torch.equal(transform(image, None, 0, "augment", 3, 17)[0], first[0])  # a mask changes nothing
    different = [transform(image, mask, 0, "augment", epoch, 17)[0] for epoch in range(4, 10)]
    assert any(not torch.equal(first[0], x) for x in different) == (preset != "none")
    assert torch.equal(image, photo())


@pytest.mark.parametrize("fill", ["reflect", "mean", "black"])
def test_fill(fill):
    image = torch.full((3, SIDE, SIDE), 90, dtype=torch.uint8)
    seen = {
        int(v)
        for key in range(5)
        for v in only("rotate", degrees=45, fill=fill)(image, None, key)[0].unique()
    }
    assert (0 in seen) == (fill == "black")
    assert fill == "black" or seen == {90}


def test_evaluation_only_resizes():
    image, mask = photo(64), blob(64)
    same = Transform((), 64)(image, mask)
    assert same[0] is image
    assert same[1] is mask
    small, small_mask = Transform((), 32)(image, mask)
    # In float64; torch's own kernels for bytes round their weights to 16 bits on some processors.
    exact = torch.nn.functional.interpolate(image[None].double(), (32, 32), mode="bilinear", antialias=True)[
        0
    ]
    assert (small.double() - exact).abs().max() <= 1
    assert torch.equal(small_mask, v2.functional.resize(mask, [32, 32], v2.InterpolationMode.NEAREST_EXACT))


def test_of_a_larger_picture_a_part_is_cut_out_pixel_for_pixel():
    image, mask = photo(60), blob(60)
    cut = Transform((), SIDE, part="random")
    assert cut.random
    assert not cut.plain.random
    places = set()
    for key in range(40):
        seen, moved = cut(image, mask, key)
        where = [
            (y, x)
            for y in range(13)
            for x in range(13)
            if torch.equal(image[:, y : y + SIDE, x : x + SIDE], seen)
        ]
        ((y, x),) = where
        assert torch.equal(mask[:, y : y + SIDE, x : x + SIDE], moved)
        assert torch.equal(cut(image, None, key)[0], seen)
        places.add((y, x))
    assert len(places) > 20
    assert {0, 12} <= {y for y, _ in places} | {x for _, x in places}
    seen, moved = cut.plain(image, mask)
    assert torch.equal(seen, image[:, 6:54, 6:54])
    assert torch.equal(moved, mask[:, 6:54, 6:54])
    assert torch.equal(cut.plain(photo(), None)[0], photo()), (
        "a picture of the network's size is seen as it is"
    )


@pytest.mark.parametrize(
    "steps", [[("hflip", {})], [("vflip", {}), ("hflip", {})], [("shift", {"x": 0.1, "y": 0.1})]]
)
def test_what_follows_works_on_the_part(steps):
    image, mask = photo(90), blob(90)
    listed = tuple({"kind": name, "p": 1, **values} for name, values in steps)
    both = build_transform(AugmentationConfig(steps=listed), SIDE, "random")
    for key in range(10):
        seen, moved = both(image, mask, key)
        part = Transform((), SIDE, part="random")(image, mask, key)
        if steps[0][0] != "shift":
            dims = [1 + (name == "hflip") for name, _ in steps]
            assert torch.equal(seen, part[0].flip(dims))
            assert torch.equal(moved, part[1].flip(dims))
        else:  # what comes in is what the picture has there
            assert any(
                torch.equal(seen, image[:, y : y + SIDE, x : x + SIDE])
                and torch.equal(moved, mask[:, y : y + SIDE, x : x + SIDE])
                for y in range(43)
                for x in range(43)
            ) or _beyond_the_border(part[0], image)


def _beyond_the_border(part, image):
    """Whether the part lies so near the border that a shift by 5 px may leave the picture."""
    inner = image[:, 5:-5, 5:-5]
    return not any(
        torch.equal(part, inner[:, y : y + SIDE, x : x + SIDE]) for y in range(33) for x in range(33)
    )


def test_shrinking_does_not_alias():
    stripes = torch.zeros((3, 192, 192), dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    out, _ = only("rotate", size=48, degrees=5)(stripes, None, 0)
    assert out[:, 6:-6, 6:-6].float().std() < 12  # mean grey, not a coarse pattern


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"preset": "strong"},
            "no augmentation preset 'strong'; choose one of none, basic, standard, advanced, plant",
        ),
        ({"steps": [{"name": "flip"}]}, "no augmentation step 'flip'; choose one of hflip, vflip"),
        (
            {"steps": [{"kind": "hflip"}, {"kind": "rotate", "angle": 3}]},
            r"steps\[1\]: angle is no setting",
        ),
        ({"steps": [{"kind": "rotate", "degrees": 400}]}, r"steps\[0\].*degrees.*got 400"),
        ({"steps": [{"kind": "zoom", "low": 2, "high": 1}]}, "low 2.0 is above high 1.0"),
        ({"steps": [{"kind": "crop", "scale": [0.9, 0.5]}]}, "the smaller value must come first"),
        ({"steps": [{"kind": "crop", "scale": [0.5, 1.5]}]}, r"steps\[0\].*scale.*got 1.5"),
        ({"fill": "white"}, "fill"),
    ],
)
def test_wrong_settings_say_what_there_is(values, message):
    with pytest.raises(ConfigError, match=message):
        parse(AugmentationConfig, values, source="test")


@given(name=st.sampled_from(sorted(STEPS)), key=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_every_step_gives_a_picture(name, key):
    image, mask = only(name, size=40)(photo(), blob(), key)
    assert (image.shape, image.dtype) == ((3, 40, 40), torch.uint8)
    assert (mask.shape, mask.dtype) == ((1, 40, 40), torch.uint8)
    assert set(mask.unique().tolist()) <= {0, 255}


def test_steps_called_by_their_former_name_are_the_same():
    """Before ``kind`` it was ``name``: files written then are read, and hashes have not changed."""
    former = AugmentationConfig(steps=({"name": "rotate", "degrees": 3}, {"name": "grey"}))
    now = AugmentationConfig(steps=({"kind": "rotate", "degrees": 3}, {"kind": "grey"}))
    assert former == now
    assert (
        deciding(former)["steps"]
        == deciding(now)["steps"]
        == [{"name": "rotate", "degrees": 3}, {"name": "grey"}]
    )


def test_config_round_trips():
    config = AugmentationConfig(steps=({"kind": "rotate", "degrees": 3},))
    assert AugmentationConfig.model_validate(config.model_dump(mode="json")) == config

"""MMAL-Net: boxes, windows and crops of a batch are those of a slow reading, one picture at a time."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.measure import label, regionprops

from foveate.core.errors import ConfigError
from foveate.models.build import build_network
from foveate.models.layer_names import resolve_tap
from foveate.models.networks.mmal import Mmal, block_before_last
from foveate.models.networks.object_boxes import cut_out, largest_component, object_boxes, outlines
from foveate.models.networks.part_windows import WINDOWS, part_windows
from foveate.models.settings import ModelConfig
from foveate.objectives import Progress


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def blobs(count: int, side: int) -> torch.Tensor:
    """(count, side, side): smooth, so that parts are of many sizes."""
    coarse = values(count, 1, 5, 5, seed=side) ** 2
    return F.interpolate(coarse, (side, side), mode="bicubic")[:, 0] + 0.3 * values(count, side, side)


def slow_component(mask: np.ndarray) -> np.ndarray:
    """As the authors: the largest of skimage's regions, the first of equally large ones."""
    regions = label(mask)
    areas = [region.area for region in regionprops(regions)]
    return regions == 1 + areas.index(max(areas)) if areas else mask


SPIRAL = """
#########
........#
#######.#
#.....#.#
#.###.#.#
#.#...#.#
#.#####.#
#.......#
#########
"""


def test_the_largest_part_is_skimages() -> None:
    masks = torch.cat(
        [values(20, 9, 9, seed=k) < share for k, share in enumerate((0.1, 0.25, 0.4, 0.6, 0.9))]
    )
    drawn = torch.tensor([[mark == "#" for mark in line] for line in SPIRAL.split()])
    masks = torch.cat([masks, drawn[None], ~drawn[None], torch.zeros(1, 9, 9, dtype=torch.bool)])
    for mask, found in zip(masks, largest_component(masks), strict=True):
        np.testing.assert_array_equal(found.numpy(), slow_component(mask.numpy()))


def slow_box(last: np.ndarray, before: np.ndarray, stride: int) -> list[int]:
    both = slow_component(last > last.mean()) & (before > before.mean())
    rows, columns = np.nonzero(both)
    if len(rows) == 0:
        rows, columns = np.array([0, last.shape[0] - 1]), np.array([0, last.shape[1] - 1])
    ends = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    return [max(0, stride * int(cell) - 1) for cell in ends]


def test_boxes_are_those_of_one_picture_after_the_other() -> None:
    last, before = blobs(12, 14), blobs(12, 14).roll(1, dims=0) + blobs(12, 14)
    last[0] = 0.0  # nothing stands out
    before[1] = torch.where(last[1] > last[1].mean(), 0.0, 1.0)  # nothing is left
    found = object_boxes(last, before, (448, 448))
    expected = [slow_box(a.numpy(), b.numpy(), 32) for a, b in zip(last, before, strict=True)]
    assert found.tolist() == expected
    assert found[:2].tolist() == [[0, 0, 447, 447]] * 2
    assert len({tuple(box) for box in expected}) > 5


def test_a_box_is_inside_a_picture_of_any_size() -> None:
    boxes = object_boxes(blobs(30, 7), blobs(30, 4), (101, 90))
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= 100).all()
    assert (boxes[:, 3] <= 89).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def slow_windows(strength: np.ndarray, groups: Any, stride: int) -> list[list[int]]:
    chosen = []
    for keep, shapes in groups:
        candidates = []
        for h, w in shapes:
            for i in range(strength.shape[0] - h + 1):
                for j in range(strength.shape[1] - w + 1):
                    ends = (i * stride - 1 + h * stride, j * stride - 1 + w * stride)
                    box = [max(0, i * stride - 1), max(0, j * stride - 1), *ends]
                    candidates.append((strength[i : i + h, j : j + w].mean(), box))
        candidates.sort(key=lambda c: -c[0])
        kept = []
        while candidates and len(kept) < keep:
            kept.append(candidates[0][1])
            candidates = [c for c in candidates if slow_iou(c[1], kept[-1]) <= 0.25]
        chosen += kept + [kept[-1]] * (keep - len(kept))
    return chosen


def slow_iou(one: list[int], other: list[int]) -> float:
    size = [min(one[k + 2], other[k + 2]) - max(one[k], other[k]) + 1 for k in (0, 1)]
    both = max(0, size[0]) * max(0, size[1])
    areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (one, other)]
    return both / (sum(areas) - both)


@pytest.mark.parametrize("kind", list(WINDOWS))
def test_windows_are_those_of_one_picture_after_the_other(kind: str) -> None:
    strength = blobs(4, 14).double()
    found = part_windows(strength, kind, (448, 448))
    expected = [slow_windows(picture.numpy(), WINDOWS[kind], 32) for picture in strength]
    assert found.tolist() == expected


def test_windows_shrink_with_the_map() -> None:
    small = part_windows(blobs(3, 7).double(), "birds", (224, 224))
    halved = [
        (keep, tuple(dict.fromkeys((round(h / 2), round(w / 2)) for h, w in shapes)))
        for keep, shapes in WINDOWS["birds"]
    ]
    assert small.tolist() == [slow_windows(p.numpy(), halved, 32) for p in blobs(3, 7).double()]
    assert part_windows(values(2, 1, 1), "birds", (32, 32)).tolist() == [[[0, 0, 31, 31]] * 7] * 2


def test_cutting_out_is_slicing_and_resizing() -> None:
    images = values(2, 3, 40, 30)
    boxes = torch.tensor([[[0, 0, 39, 29], [3, 5, 20, 9]], [[7, 0, 7, 10], [20, 4, 39, 29]]])
    found = cut_out(images, boxes.float(), (16, 12))
    for number, (top, left, bottom, right) in enumerate(boxes.flatten(0, 1).tolist()):
        part = images[number // 2, :, top : bottom + 1, left : right + 1][None]
        expected = F.interpolate(part, (16, 12), mode="bilinear", align_corners=True)[0]
        torch.testing.assert_close(found[number], expected, rtol=1e-4, atol=1e-5)


def network(backbone: str = "foveate_small_cnn", size: int = 64, **settings: Any) -> Any:
    config = Mmal.Config(**settings)
    return build_network(ModelConfig(backbone=backbone, weights="none", network=config), 3, size, seed=1)


@pytest.mark.parametrize("backbone", ["foveate_small_cnn", "test_resnet", "test_efficientnet"])
def test_the_branches_are_three_passes(backbone: str) -> None:
    model = network(backbone, dropout=0.0).train()
    model.backbone.eval()
    model.progress = Progress(epoch=1)
    images = values(2, 3, 64, 64)
    output = model(images)
    maps: dict[str, torch.Tensor] = {}
    for name in model.strong:
        path = resolve_tap(model.backbone, name)
        model.backbone.get_submodule(path).register_forward_hook(
            lambda _m, _i, out, name=name: maps.__setitem__(name, out)
        )

    def pass_over(picture: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        logits = model.classifier(model.features(picture))
        return logits, [maps[name][0].abs().sum(dim=0) for name in model.strong]

    def cut(picture: torch.Tensor, box: Any, side: int) -> torch.Tensor:
        top, left, bottom, right = map(int, box)
        part = picture[None, :, top : bottom + 1, left : right + 1]
        return F.interpolate(part, (side, side), mode="bilinear", align_corners=True)

    for row, image in enumerate(images):
        raw, strengths = pass_over(image[None])
        found = cut(image, object_boxes(*(s[None] for s in strengths), (64, 64))[0], 64)
        objects, (last, _) = pass_over(found)
        parts = [
            pass_over(cut(found[0], box, 32))[0] for box in part_windows(last[None], "birds", (64, 64))[0]
        ]
        for name, slow in (("raw", raw), ("object", objects), ("parts", torch.cat(parts))):
            rows = len(slow)
            torch.testing.assert_close(
                output.branches[name][row * rows : (row + 1) * rows], slow, rtol=1e-3, atol=1e-4
            )
    assert output.logits is output.branches["object"]
    assert output.whole is output.branches["raw"]


def test_the_first_epoch_is_the_whole_picture_and_evaluation_needs_no_parts() -> None:
    model, images = network(), values(2, 3, 64, 64)
    for epoch, expected in ((0, {"raw"}), (1, {"raw", "object", "parts"})):
        model.progress = Progress(epoch=epoch)
        assert set(model.train()(images).branches) == expected
        assert set(model.eval()(images).branches) == {"raw", "object"}
    assert model.train()(images).branches["parts"].shape == (14, 3)
    logits, boxes = model.eval().object_of(images)
    answers, windows = model.parts_of(cut_out(images, boxes, (64, 64)))
    assert (logits.shape, answers.shape, boxes.shape, windows.shape) == ((2, 3), (2, 3), (2, 4), (2, 7, 4))


def test_outlines_are_the_edges_of_boxes() -> None:
    drawn = outlines(torch.tensor([[[2, 3, 8, 9], [0, 0, 19, 19]]]).float(), (20, 20))
    expected = torch.zeros(2, 20, 20)
    for number, (top, left, bottom, right) in enumerate([(2, 3, 8, 9), (0, 0, 19, 19)]):
        expected[number, top : bottom + 1, [left, right]] = 1
        expected[number, [top, bottom], left : right + 1] = 1
    assert torch.equal(drawn[0], expected)


def test_parts_are_drawn_inside_of_the_object() -> None:
    model, images = network().eval(), values(3, 3, 64, 64)
    (drawn,) = model.drawings(images).values()
    boxes = model.object_of(images)[1].long().tolist()
    for picture, (top, left, bottom, right) in zip(drawn, boxes, strict=True):
        outside = picture.clone()
        outside[top : bottom + 1, left : right + 1] = 0
        assert outside.max() == 0
        assert (picture[top, left : right + 1] == 1).all()
        assert (picture == 0.6).any()


def test_each_backbone_has_a_block_before_its_last() -> None:
    expected = {
        "resnet18": "layer4.0",
        "convnext_atto": "stages.3.blocks.0",
        "mobilenetv3_small_050": "blocks.4",
        "tf_efficientnet_lite0": "blocks.5",
        "test_vit": "blocks.4",
    }
    for name, path in expected.items():
        config = ModelConfig(backbone=name, weights="none")
        assert (
            block_before_last(build_network(config, 2, 160 if name == "test_vit" else 64, 0).backbone) == path
        )


def test_a_backbone_of_one_size_takes_parts_of_that_size_only() -> None:
    with pytest.raises(ConfigError, match=r"cannot take parts of 32 px .*set model\.network\.part_side to 1"):
        network("vit_tiny_patch16_224")
    model = network("vit_tiny_patch16_224", part_side=1.0)
    model.progress = Progress(epoch=1)
    assert model(values(1, 3, 64, 64)).branches["parts"].shape == (7, 3)

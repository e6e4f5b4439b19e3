"""Batch.prepare against the formula, in both layouts."""

import pytest
import torch

from foveate.data.batch import Batch

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def batch(layout: torch.memory_format = torch.contiguous_format) -> Batch:
    generator = torch.Generator().manual_seed(4)
    images = torch.randint(0, 256, (5, 3, 7, 6), dtype=torch.uint8, generator=generator)
    return Batch(
        images=images.contiguous(memory_format=layout),
        targets=torch.arange(5),
        masks=torch.randint(0, 256, (5, 1, 7, 6), dtype=torch.uint8, generator=generator),
        has_mask=torch.tensor([True, False, True, True, False]),
        index=torch.arange(10, 15),
    )


@pytest.mark.parametrize("given", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("wanted", [torch.contiguous_format, torch.channels_last])
def test_prepare_is_the_formula(given: torch.memory_format, wanted: torch.memory_format) -> None:
    raw = batch(given)
    before = raw.images.clone()
    prepared = raw.prepare("cpu", MEAN, STD, wanted)
    expected = (raw.images.double() / 255 - MEAN.double().view(3, 1, 1)) / STD.double().view(3, 1, 1)
    torch.testing.assert_close(prepared.images, expected.float(), rtol=1e-5, atol=1e-5)
    assert prepared.images.is_contiguous(memory_format=wanted)
    assert torch.equal(raw.images, before)
    assert torch.equal(prepared.masks, raw.masks.float() / 255)
    for name in ("targets", "has_mask", "index"):
        assert torch.equal(getattr(prepared, name), getattr(raw, name))


def test_both_layouts_hold_the_same_bits() -> None:
    plain = batch().prepare("cpu", MEAN, STD).images
    assert torch.equal(plain, batch().prepare("cpu", MEAN, STD, torch.channels_last).images)

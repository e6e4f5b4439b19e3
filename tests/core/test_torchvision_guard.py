"""The guard: torchvision's transforms import beside any torch, once and for all."""

import importlib

import torch

from foveate.core import torchvision_guard


def test_transforms_work() -> None:
    image = torchvision_guard.tv_tensors.Image(torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2))
    flipped = torchvision_guard.transforms_v2.functional.horizontal_flip(image)
    assert torch.equal(flipped, torch.flip(image, [2]))


def test_a_second_import_declares_nothing() -> None:
    before = list(torchvision_guard._declared)
    torchvision_guard._import_torchvision()
    importlib.import_module("foveate.core.torchvision_guard")
    assert torchvision_guard._declared == before
    assert len(before) <= 1


def test_other_errors_are_not_hidden(monkeypatch) -> None:
    import builtins

    import pytest

    real = builtins.__import__

    def broken(name: str, *args: object, **kwargs: object) -> object:
        if name == "torchvision":
            raise RuntimeError("something else")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(RuntimeError, match="something else"):
        torchvision_guard._import_torchvision()

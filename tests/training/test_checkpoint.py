"""Checkpoints: whole or absent, nothing pickled, fused optimizers restored in their memory layout."""

import os
from pathlib import Path

import pytest
import torch

from foveate.core.errors import TrainingError
from foveate.training import checkpoint


def test_round_trip_and_only_the_newest_is_kept(tmp_path: Path) -> None:
    assert checkpoint.load_checkpoint(tmp_path / "checkpoint") is None
    for number in range(3):
        checkpoint.save_checkpoint(
            tmp_path / "checkpoint", {"a.b": torch.full((2, 3), number)}, {"n": number}
        )
    found = checkpoint.load_checkpoint(tmp_path / "checkpoint")
    assert found is not None
    tensors, values = found
    assert values == {"n": 2}
    assert torch.equal(tensors["a.b"], torch.full((2, 3), 2))
    assert len(list((tmp_path / "checkpoint").iterdir())) == 1


def test_a_writer_that_died_halfway_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    checkpoint.save_checkpoint(folder, {"w": torch.ones(1)}, {"n": 1})
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "replace", lambda *_: os._exit(9))
        pid = os.fork()
        if pid == 0:
            checkpoint.save_checkpoint(folder, {"w": torch.zeros(1)}, {"n": 2})
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    found = checkpoint.load_checkpoint(folder)
    assert found is not None
    assert found[1] == {"n": 1}
    checkpoint.save_checkpoint(folder, {"w": torch.zeros(1)}, {"n": 3})
    assert [path.name for path in folder.iterdir()] == ["saved-00000002"], "the dead writer's folder is gone"


def test_a_full_disk_is_a_clear_error_and_the_last_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    checkpoint.save_checkpoint(folder, {"w": torch.ones(1)}, {"n": 1})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(TrainingError, match="free some space"):
        checkpoint.save_checkpoint(folder, {"w": torch.zeros(1)}, {"n": 2})
    found = checkpoint.load_checkpoint(folder)
    assert found is not None
    assert found[1] == {"n": 1}
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("name", ["AdamW", "SGD"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_restored_optimizer_goes_on_bit_for_bit(name: str, layout: torch.memory_format) -> None:
    def network() -> tuple[torch.nn.Conv2d, torch.optim.Optimizer]:
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(3, 8, 3).to(memory_format=layout)  # type: ignore[call-overload]
        options = {"momentum": 0.9} if name == "SGD" else {}
        return conv, getattr(torch.optim, name)(conv.parameters(), lr=0.01, fused=True, **options)

    def train(conv: torch.nn.Conv2d, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(step)).to(
                memory_format=layout
            )
            conv(x).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    whole, optimizer = network()
    train(whole, optimizer, 0, 6)
    half, optimizer = network()
    train(half, optimizer, 0, 3)
    saved = {k: v.contiguous().clone() for k, v in checkpoint.flatten_optimizer(optimizer).items()}
    weights = {k: v.contiguous().clone() for k, v in half.state_dict().items()}
    again, optimizer = network()
    again.load_state_dict(weights)
    checkpoint.restore_optimizer(optimizer, saved)
    train(again, optimizer, 3, 6)
    assert torch.equal(again.weight, whole.weight)
    assert torch.equal(again.bias, whole.bias)

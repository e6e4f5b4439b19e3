"""Stored features: what another run left, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.models.build import build_network
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig
from foveate.training.shared_features import SharedFeatures


@pytest.fixture(scope="module")
def model() -> Network:
    return build_network(
        ModelConfig(backbone="mobilenetv3_small_050", weights="none"), classes=2, size=32, seed=0
    )


def test_no_damage_is_taken_for_features(
    model: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features = torch.arange(40, dtype=torch.bfloat16).reshape(1, 10, 4)
    shared = SharedFeatures(tmp_path, "pictures")
    computed: list[int] = []

    def get() -> torch.Tensor:
        return shared.get(model, {}, lambda: computed.append(1) or features)  # type: ignore[func-returns-value]

    get()
    assert torch.equal(get(), features)
    assert computed == [1]
    assert not caplog.records
    [file] = tmp_path.iterdir()
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    kinds = [b"", whole[: len(whole) // 2], whole[:-1], bytes(len(whole)), whole[:-8] + bytes(8)]
    flips = rng.integers(1, 256, len(whole)).tolist()
    kinds += [whole[:k] + bytes([whole[k] ^ flip]) + whole[k + 1 :] for k, flip in enumerate(flips)]
    for content in kinds:
        file.write_bytes(content)
        assert torch.equal(get(), features)
    # Only a flip in the header's padding or in the name of its comment changes nothing that counts.
    assert len(computed) > 0.9 * len(kinds)
    assert "are damaged or of another version; they are computed again" in caplog.text
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_costs_only_the_memory(
    model: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    found = SharedFeatures(tmp_path / "file", "pictures").get(model, {}, lambda: torch.ones(1, 2, 3))
    assert torch.equal(found, torch.ones(1, 2, 3))
    assert "cannot be kept in" in caplog.text

"""Keys are the same for ever: a recorded run must draw again what it drew."""

import pytest
import torch

from foveate.core.rng import key, numpy_generator, torch_seeded


@pytest.mark.parametrize(
    ("parts", "digest"),  # BLAKE2b-64 of the parts joined by the unit separator, as `b2sum -l 64` prints it
    [
        ((0,), "842b7d9d43cddf75"),
        ((3, "order", 7), "2004887eedfe001b"),
        (("a", "b"), "f84c4d669fe0d410"),
        (("ab",), "0e52b5f187de1088"),
    ],
)
def test_known_keys(parts: tuple, digest: str) -> None:
    assert key(*parts) == int.from_bytes(bytes.fromhex(digest), "little") >> 1


def test_known_draws() -> None:
    assert numpy_generator(3, "order", 7).integers(0, 1000, 4).tolist() == [520, 60, 832, 874]


def test_keys_fit_and_differ() -> None:
    keys = {key(seed, purpose, n) for seed in range(5) for purpose in ("a", "b") for n in range(100)}
    assert len(keys) == 1000
    assert 0 <= min(keys) <= max(keys) < 2**63
    assert key(1, 23) != key(12, 3)


def test_torch_seeded_puts_the_state_back() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with torch_seeded(5, "x"):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(2), expected)
    before = torch.random.get_rng_state()
    with pytest.raises(RuntimeError), torch_seeded(5, "x"):
        torch.rand(3).reshape(2, 2)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch_seeded(5, "x"):
        assert torch.equal(torch.rand(3), inside)

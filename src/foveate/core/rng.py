"""Randomness keyed by what it is for, not by when it is drawn.

Every random choice is seeded by ``key(seed, purpose, epoch, sample, ...)``. Hence the same sample in the same
epoch gets the same augmentation with any number of workers, and a resumed run draws what the unbroken one drew.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def key(*parts: int | str) -> int:
    """A 63-bit seed from integers and strings; stable over processes, machines and Python versions."""
    digest = hashlib.blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_generator(*parts: int | str) -> np.random.Generator:
    """A fresh numpy generator for this key."""
    return np.random.Generator(np.random.PCG64(key(*parts)))


def seed_torch(number: int, device_type: str) -> None:
    """``torch.manual_seed`` for every step: without the cost of accelerators that are not in use.

    torch.manual_seed formats a stack trace for each accelerator that is not initialised; on a CPU only the default
    generator is drawn from, and it gets the very same seed.
    """
    import torch

    if device_type == "cpu":
        torch.random.default_generator.manual_seed(number)
    else:
        torch.manual_seed(number)


@contextmanager
def torch_seeded(*parts: int | str) -> Iterator[None]:
    """Seed torch's global CPU generator inside the block and put its state back afterwards.

    For library code (torchvision.transforms.v2) that draws from the global generator only.
    """
    import torch

    state = torch.random.get_rng_state()
    torch.random.default_generator.manual_seed(key(*parts))
    try:
        yield
    finally:
        torch.random.set_rng_state(state)

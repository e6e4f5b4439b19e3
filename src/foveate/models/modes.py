"""Leave a network as it was found."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode inside the block; every part's own mode is put back afterwards.

    Parts may differ (a frozen backbone stays in eval while the head trains), so each module's flag is kept.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    before = [module.training for module in modules]
    whole = model.training
    model.eval()
    try:
        yield
    finally:
        if modules:
            for module, mode in zip(modules, before, strict=True):
                module.training = mode
        else:
            model.train(whole)


@contextmanager
def untouched(model: nn.Module, *, in_place: bool = True) -> Iterator[None]:
    """Evaluation mode with frozen parameters inside the block; afterwards everything is as before, also after an error.

    Put back: each module's mode, each parameter's ``requires_grad`` and ``.grad``, the hooks of every module, the
    random states of torch (CPU and CUDA), numpy and Python. Compiled parts run as they are written: compiled code calls
    no hooks. A caller's ``inference_mode`` is suspended: what it makes carries no gradient.

    Args:
        in_place: False switches in-place activations off meanwhile, for methods that hook them.
    """
    parameters = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    flags = [m for m in model.modules() if not in_place and getattr(m, "inplace", False) is True]
    with ExitStack() as stack:
        stack.enter_context(_random_states())
        stack.enter_context(_hooks(model))
        stack.enter_context(evaluating(model))
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        try:
            for module in flags:
                module.inplace = False  # type: ignore[assignment]
            for parameter, _, _ in parameters:
                parameter.requires_grad_(False)
            yield
        finally:
            for module in flags:
                module.inplace = True  # type: ignore[assignment]
            for parameter, wanted, gradient in parameters:
                parameter.requires_grad_(wanted)
                parameter.grad = gradient


@contextmanager
def _hooks(model: nn.Module) -> Iterator[None]:
    """Hooks that were added inside the block and not removed (by a library that failed midway) go."""
    tables = [
        found
        for m in model.modules()
        for name, found in vars(m).items()
        if "_hooks" in name and found is not None
    ]
    before = [(hooks, list(hooks)) for hooks in tables if isinstance(hooks, dict)]
    try:
        yield
    finally:
        for hooks, known in before:
            for key in [key for key in hooks if key not in known]:
                del hooks[key]


@contextmanager
def _random_states() -> Iterator[None]:
    """The global random states of torch, numpy and Python, put back afterwards."""
    # Trap: asking for CUDA's states initialises CUDA; where it is not in use yet there is nothing to keep.
    cuda = (
        range(torch.cuda.device_count()) if torch.cuda.is_available() and torch.cuda.is_initialized() else ()
    )
    states = np.random.get_state(), random.getstate()  # noqa: NPY002  (libraries draw from it)
    try:
        with torch.random.fork_rng(cuda):
            yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])

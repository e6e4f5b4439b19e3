"""Forward order: in which order a network's modules do their work, found by running it once.

The order in which modules are *defined* is not always the order in which they run (Twins defines all its
patch embeddings first), and freezing "everything up to here" must mean the running order.
"""

from collections.abc import Callable

from torch import nn


def record_order(network: nn.Module, run: Callable[[], object]) -> dict[str, int]:
    """{module path: position} of all modules, by when each finishes its last call during ``run()``.

    A module that is never called itself (its parameters are read by its parent, or it is a mere list) gets
    its nearest called ancestor's position. The root has position -1: parameters that it owns itself (class
    token, position embedding) count as the very first layer; modules that ``run`` does not reach come last.
    """
    finished: dict[str, int] = {}
    clock = iter(range(1_000_000_000))

    def stamp(path: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            finished[path] = next(clock)

        return hook

    paths = {path: module for path, module in network.named_modules() if path}
    hooks = [module.register_forward_hook(stamp(path)) for path, module in paths.items()]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    last = next(clock)

    def position(path: str) -> int:
        while path:
            if path in finished:
                return finished[path]
            path = path.rpartition(".")[0]
        return last

    return {"": -1} | {path: position(path) for path in paths}

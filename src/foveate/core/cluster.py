"""Cluster: a Ray cluster as a place to work. Ray is loaded when somebody asks for one, and not before.

A task is a function of foveate with plain arguments, which its node imports by name: so foveate is installed on every
node. Files are not sent: tasks are told paths, and every node must see the same folders under the same paths.
"""

import logging
import os
import platform
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from foveate.core.errors import ConfigError, FoveateError, first_line

RETRIES = 5
"""How often a task whose node or process dies is begun again."""


def check_seen(*paths: str | Path) -> None:
    """Raises ConfigError: this node of a cluster does not see one of these paths."""
    for path in paths:
        if not Path(path).exists():
            raise ConfigError(
                f"The node {platform.node()} does not see {path}; all nodes need it under this path (a shared folder)."
            )


class LostError(FoveateError):
    """A task came to no end: its node died too often, or it was stopped."""


class Cluster:
    """Connected inside ``with``.

    Args:
        address: "local" starts Ray on this machine for as long as it is needed; else where a cluster is: "auto" (the
            one that this machine belongs to), host:port, or ray://host:10001.
        cpus: processor threads that a task declares; None: those of the smallest node.
        gpus: accelerators that a task declares; 0.5 lets two share one.

    Raises:
        ConfigError: Ray is not installed, no cluster answers, or no node has room for a single task.
    """

    def __init__(self, address: str, cpus: int | None = None, gpus: float = 0) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            import ray
        except ImportError:
            raise ConfigError("A Ray cluster needs an extra: pip install 'foveate[cluster]'.") from None
        self._ray: Any = ray
        local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        here = threading.current_thread() is threading.main_thread()
        handler = signal.getsignal(signal.SIGTERM)
        try:
            host, _, port = address.removeprefix("ray://").partition(":")
            if port:  # Ray itself goes on for minutes
                socket.create_connection((host, int(port)), timeout=10).close()
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **local)
            if here:
                signal.signal(signal.SIGTERM, handler)  # Ray's own would leave without saving
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise ConfigError(
                f"No Ray cluster answers at '{address}' ({reason}); give its host:port, auto, or local."
            ) from None
        rooms = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        self.cpus = cpus or int(min((room["CPU"] for room in rooms), default=1))
        self.gpus = gpus
        self.slots = sum(self._fitting(room) for room in rooms)
        """Tasks that the cluster does at a time."""
        if not self.slots:
            self._ray.shutdown()
            raise ConfigError(
                f"No node of the Ray cluster has {self.cpus} CPUs and {gpus:g} GPUs, as every task needs; ask for less."
            )

    def _fitting(self, room: dict[str, float]) -> int:
        tasks = room["CPU"] // self.cpus
        return int(min(tasks, room.get("GPU", 0) // self.gpus) if self.gpus else tasks)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ray.shutdown()

    def put(self, value: Any) -> Any:
        """A handle with which a large argument is sent to each node once."""
        return self._ray.put(value)

    def submit(
        self, function: Callable[..., Any], *arguments: Any, again: tuple[type[Exception], ...] = ()
    ) -> Any:
        """Have a task done; a handle for ``result`` and ``cancel``.

        Args:
            again: errors after which it is begun again, as if its node had died.
        """
        task = self._ray.remote(function).options(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=RETRIES, retry_exceptions=list(again) or False
        )
        return task.remote(*arguments)

    def result(self, handle: Any) -> Any:
        """What a task returned; waits for it.

        Raises:
            LostError: it has no end, or something is missing on its node. An error in words is raised as it is.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.get(handle)
        except errors.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, FoveateError | OSError):
                raise cause from None
            raise LostError(
                f"A task failed on its node ({type(cause).__name__}: {first_line(cause)}); the same foveate, with what "
                "it needs, must be installed on every node."
            ) from None
        except errors.RayError as error:
            raise LostError(
                f"Its node or process died {RETRIES + 1} times ({type(error).__name__}), perhaps for want of memory."
            ) from None

    def cancel(self, handle: Any, patience: float) -> None:
        """Interrupt a task as Ctrl-C does; what does not end within ``patience`` seconds is killed."""
        self._ray.cancel(handle)
        if not self._ray.wait([handle], timeout=patience)[0]:
            self._ray.cancel(handle, force=True)

    def in_order(self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """The results of many tasks, in order; no more are begun or kept than keep the cluster busy.

        Raises:
            LostError: see ``result``.
        """
        begun: deque[Any] = deque()
        try:
            for one in arguments:
                begun.append(self.submit(function, *one))
                if len(begun) > 2 * self.slots:
                    yield self.result(begun.popleft())
            while begun:
                yield self.result(begun.popleft())
        finally:
            for handle in begun:
                self._ray.cancel(handle, force=True)

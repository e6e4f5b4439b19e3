"""A worker process, both its ends: it trains one cell after another for the study's engine, and ends with it.

Started as ``python -m foveate.studies.worker THREADS``. One task a line on standard input, one answer a line on
standard output, both JSON; whatever a library prints goes to standard error. When standard input closes (the engine
is gone, however it went) the process ends at once: a cell that is cut off goes on from its checkpoint.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TextIO

from foveate.core.errors import FoveateError

SHARED = ".shared"
"""Folder beside the cells in which they leave features for each other."""

PATIENCE = 30
"""Seconds a worker gets to write its checkpoint when the study is stopped."""


class Worker(Protocol):
    """Where the engine has cells computed, one at a time."""

    def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        """Have a cell computed; what ``attempt`` says of it."""

    def stop(self) -> None:
        """Let what is at work save and end."""


class ProcessWorker:
    """One worker process of this machine; one that dies is replaced."""

    def __init__(self, threads: int, log: Path) -> None:
        self.threads, self.log = threads, log
        self.process: subprocess.Popen[str] | None = None
        self.stopping = False

    def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        """See ``Worker``."""
        if self.process is None and not self.stopping:
            self.process = self._hire()
        process = self.process
        if process is None:
            return {"error": "The study was stopped."}
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line.endswith("\n"):  # else it was killed, perhaps in the middle of its answer
            answer: dict[str, Any] = json.loads(line)
            return answer
        status = process.wait()
        self.process = None
        self._close(process)
        reason = "it was killed, perhaps for want of memory"
        reason = reason if status == -signal.SIGKILL else f"status {status}"
        return {"error": f"The worker process ended before its cell was done ({reason}); see {self.log}."}

    def _hire(self) -> "subprocess.Popen[str]":
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "a", encoding="utf-8") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "foveate.studies.worker", str(self.threads)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8",
                start_new_session=True,  # Ctrl-C reaches the engine, which then asks the workers to stop
            )  # fmt: skip

    def stop(self) -> None:
        """Ask the process to save and end; kill it when it does not."""
        self.stopping = True
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._close(process)

    def _close(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()


def main() -> None:
    """Work until standard input closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    tasks: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin, tasks), daemon=True).start()
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    while True:
        answer = attempt(tasks.get())
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _listen(stream: TextIO, tasks: "queue.Queue[dict[str, Any]]") -> None:
    for line in stream:
        tasks.put(json.loads(line))
    os._exit(0)


def attempt(task: dict[str, Any]) -> dict[str, Any]:
    """Run one cell; {"seconds"} when it went well, {"error"} as a sentence when not."""
    started = time.monotonic()
    try:
        run_cell(**task)
    except FoveateError as error:
        if type(error).__name__ == "Interrupted":
            raise
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 (a failing cell is told and does not stop the others)
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    return {"seconds": time.monotonic() - started}


def run_cell(
    experiment: dict[str, Any], data: str, folder: str, quarantine: bool, decisions: list[dict[str, Any]],
    keep: bool, twin: str | None = None,
) -> None:  # fmt: skip
    """Train and evaluate one cell.

    Args:
        experiment: an Experiment as plain values.
        folder: the cell's run folder.
        decisions: automatic choices that all arms share; the cell takes them as its own.
        keep: keep the weights.
        twin: run folder of a cell that trains the same network and differs in what is measured only. It is waited
            for if another process is at work on it, and its network is taken if it is there.
    """
    from filelock import FileLock

    from foveate.core.files import write_json
    from foveate.core.manifest import WEIGHTS
    from foveate.experiment import Experiment, Run, run
    from foveate.experiment.ownership import claim
    from foveate.training.decisions import FILE

    specification, place = Experiment.from_dict(experiment), Path(folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    trained = None
    if twin:
        other = Path(twin)
        with FileLock(other.with_name(f".{other.name}.lock")):
            trained = other if Run(other).finished and (other / WEIGHTS).is_file() else None
    with FileLock(place.with_name(f".{place.name}.lock")):
        claim(specification, place)
        if decisions and not (place / FILE).is_file():
            write_json(place / FILE, decisions)
        shared = place.parent / SHARED
        run(
            specification,
            data,
            place,
            quarantine=quarantine,
            shared=shared,
            trained=trained,
            starts=place.parent,
        )
        if not keep:
            (place / WEIGHTS).unlink(missing_ok=True)


if __name__ == "__main__":
    main()

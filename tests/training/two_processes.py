"""Started by torchrun: several runs one after another in the same processes, as a file asks.

The file is a list of {"experiment", "data", "out", "stop"}; ``stop`` is the step before whose end the run is told to
stop and then begun again.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from foveate.experiment import Experiment, run
from foveate.training import Interrupted, Observer


class Stop(Observer):
    """Sends its own process SIGTERM after some steps; only the main process has an observer."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def step(self, done: int, total: int, pictures: int) -> None:
        self.steps -= 1
        if self.steps == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def main(asked: list[dict[str, Any]]) -> None:
    torch.set_num_threads(1)
    for one in asked:
        experiment = Experiment.from_dict(one["experiment"])
        if one["stop"]:
            try:
                run(experiment, one["data"], one["out"], observer=Stop(one["stop"]))
            except Interrupted:
                torch.distributed.barrier()
            else:
                raise SystemExit("The run was not stopped.")
        run(experiment, one["data"], one["out"])
        torch.distributed.barrier()  # the main process measures


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

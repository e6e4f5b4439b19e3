"""Cells as tasks of a Ray cluster."""

import os
from pathlib import Path
from typing import Any

from foveate.core.cluster import Cluster, check_seen
from foveate.core.errors import FoveateError
from foveate.studies.worker import PATIENCE, attempt
from foveate.training.interrupt import Interrupted


class ClusterWorker:
    """A place in a Ray cluster. A cell whose node dies, or is told to end, goes on elsewhere from its checkpoint."""

    def __init__(self, cluster: Cluster, study: Path) -> None:
        self.cluster, self.study, self.at_work = cluster, study.absolute(), None
        self.stopping = False

    def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        """See ``Worker``."""
        if self.stopping:
            return {"error": "The study was stopped."}
        task = task | {
            name: str(Path(task[name]).absolute()) for name in ("data", "folder", "twin") if task[name]
        }
        self.at_work = self.cluster.submit(
            attempt_there, task, str(self.study), os.getcwd(), self.cluster.cpus, again=(Interrupted,)
        )
        try:
            answer: dict[str, Any] = self.cluster.result(self.at_work)
        except FoveateError as error:
            return {"error": str(error)}
        return answer

    def stop(self) -> None:
        """See ``Worker``."""
        self.stopping = True
        if self.at_work is not None:
            self.cluster.cancel(self.at_work, PATIENCE)


def attempt_there(task: dict[str, Any], study: str, folder: str, threads: int) -> dict[str, Any]:
    """``attempt`` on a node of a cluster; ``folder`` is the one that the experiment's relative paths start from."""
    import torch

    check_seen(Path(study) / "study.yaml", task["data"])
    if Path(folder).is_dir():
        os.chdir(folder)
    torch.set_num_threads(threads)
    return attempt(task)

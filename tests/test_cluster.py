"""A Ray cluster of two nodes on this machine: the same files as without it, also when a node dies in the middle."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from click.testing import Result
from typer.testing import CliRunner

from foveate.cli.main import app
from foveate.core.cluster import Cluster, LostError, check_seen
from foveate.core.errors import ConfigError
from foveate.experiment import Run, cluster_predictions
from foveate.studies.engine import StudyObserver, run_study
from foveate.studies.specification import Cell, Study
from training_helpers import BASE

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'foveate[cluster]'.")
pytestmark = pytest.mark.slow


def foveate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(result: Result) -> str:
    return " ".join(result.output.split())


def study(seeds: Sequence[int], epochs: int = 10, **training: float) -> Study:
    base = {name: value for name, value in BASE.items() if name != "seed"}
    training |= {"phases": [{"name": "all", "epochs": epochs, "lr": 0.003}]}
    return Study.from_dict(
        {
            "name": "tiny", "base": base | {"training": base["training"] | training},
            "axes": {"training.phases.0.lr": [0.003, 0.01]}, "seeds": list(seeds),
            "metrics": ["test.accuracy", "val.nll", "epochs"],
        }
    )  # fmt: skip


class Two:
    """The cluster: a head and a second node, with one processor thread each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
        self.nodes = Nodes(initialize_head=True, head_node_args=node)
        self.second = self.nodes.add_node(num_cpus=1, object_store_memory=80 << 20)
        self.address = self.nodes.address


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    cluster = Two()
    yield cluster
    cluster.nodes.shutdown()


class Axe(StudyObserver):
    """Kills the second node while each has a cell, and tells the process on the first to end."""

    def __init__(self, two: Two, out: Path) -> None:
        self.two, self.out = two, out
        self.killed, self.left, self.told = False, 0, 0
        self.errors: list[str] = []
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def begin(self, total: int, kept: Sequence[Cell], resumed: Sequence[Cell]) -> None:
        self.thread.start()

    def failed(self, cell: Cell, error: str) -> None:
        self.errors.append(error)

    def _watch(self) -> None:
        while len(list(self.out.glob("cells/*/checkpoint"))) < 2:
            time.sleep(0.02)
        self.left = 4 - len(list(self.out.glob("cells/*/result.json")))
        self.two.nodes.remove_node(self.two.second, allow_graceful=False)
        for process in psutil.process_iter():
            if process.name().startswith("ray::attempt"):
                process.terminate()  # as a scheduler does before it takes a node away
                self.told += 1
        self.killed = True


def files(folder: Path) -> dict[str, bytes]:
    """What a study says, without what it took."""
    told = [p for p in folder.iterdir() if p.suffix in (".csv", ".md", ".tex", ".yaml")]
    tables = sorted(folder.glob("cells/*/predictions.csv"))
    weights = sorted(folder.glob("cells/*/model.safetensors"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in (*told, *tables, *weights)}


def test_predictions_are_those_of_one_machine(
    two: Two, finished: Run, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_predictions, "PIECE", cluster_predictions.BATCH)  # so that there are several
    (tree / "images" / "class0" / "broken.png").write_bytes(b"no picture")
    common = ["predict", finished.folder, tree / "images"]
    alone = foveate(*common, "--out", tmp_path / "alone.csv")
    cluster = foveate(*common, "--out", tmp_path / "cluster.csv", "--ray", two.address)
    (tree / "images" / "class0" / "broken.png").unlink()
    assert alone.exit_code == cluster.exit_code == 1, cluster.output  # one cannot be read
    assert said(cluster).replace("cluster", "alone") == said(alone)
    for name in ("{}.csv", "{}.unreadable.csv"):
        assert (tmp_path / name.format("cluster")).read_bytes() == (
            tmp_path / name.format("alone")
        ).read_bytes()
    assert len((tmp_path / "cluster.csv").read_text().splitlines()) == 1 + 48
    assert not list(tmp_path.glob(".*"))


def test_no_more_tasks_are_begun_than_keep_the_cluster_busy(two: Two) -> None:
    begun = iter(range(1000))
    with Cluster(two.address) as cluster:
        results = cluster.in_order(check_seen, (("/",) for _ in begun))
        assert [next(results) for _ in range(3)] == [None] * 3
        assert next(begun) <= 3 + 2 * cluster.slots + 1
        results.close()  # type: ignore[attr-defined]
        with pytest.raises(ConfigError, match=r"does not see /nowhere; all nodes need it"):
            cluster.result(cluster.submit(check_seen, "/nowhere"))
        with pytest.raises(LostError, match=r"TypeError: .*; the same foveate, with what it needs"):
            cluster.result(cluster.submit(check_seen, 3))


def test_what_does_not_fit_is_refused(two: Two, finished: Run, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No node of the Ray cluster has 3 CPUs and 0 GPUs"):
        Cluster(two.address, cpus=3)
    refused = foveate("predict", finished.folder, tree, "--out", tmp_path / "x.json", "--ray", two.address)
    assert "writes a table as .csv" in said(refused)
    with pytest.raises(ConfigError, match="No Ray cluster answers at 'nowhere:1'"):
        Cluster("nowhere:1")


def test_stopped_every_cell_saves(two: Two, tree: Path, tmp_path: Path) -> None:
    class Stop(StudyObserver):
        def begin(self, total: int, kept: Sequence[Cell], resumed: Sequence[Cell]) -> None:
            threading.Thread(target=self._watch, daemon=True).start()

        def _watch(self) -> None:
            while len(list(tmp_path.glob("study/cells/*/history.csv"))) < 2:
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)

    asked = study([0], epochs=1000, checkpoint_seconds=1000.0)
    with pytest.raises(KeyboardInterrupt):
        run_study(asked, tree, tmp_path / "study", observer=Stop(), ray=two.address)
    assert not ray.is_initialized()
    assert len(list(tmp_path.glob("study/cells/*/checkpoint"))) == 2


def test_the_table_is_that_of_one_machine_though_a_node_dies(
    two: Two, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axe = Axe(two, tmp_path / "cluster")
    run_study(study([0, 1]), tree, tmp_path / "cluster", observer=axe, ray=two.address)
    axe.thread.join()
    assert axe.killed
    assert axe.left >= 2
    assert axe.told >= 1
    assert axe.errors == []
    assert foveate("study", "show", tmp_path / "cluster").exit_code == 0

    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "other cache"))  # else the cells would be copied
    run_study(study([0, 1]), tree, tmp_path / "alone", jobs=0)
    assert foveate("study", "show", tmp_path / "alone").exit_code == 0
    mine, plain = files(tmp_path / "cluster"), files(tmp_path / "alone")
    assert "table.md" in plain
    assert mine.keys() == plain.keys()
    assert [name for name in plain if mine[name] != plain[name]] == []

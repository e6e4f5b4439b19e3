"""A search whose trials stand in PostgreSQL: a real server, started here in a temporary folder on its own socket."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from foveate.studies.trial_ranking import rank
from foveate.studies.trials import Task, work
from foveate.training import Observer
from studies.tune_helpers import Train, in_process, task

pytest.importorskip("optuna")
pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'foveate[cluster]'.")
pytestmark = pytest.mark.slow


def programs() -> Path | None:
    """Where initdb and postgres lie: Debian keeps them out of PATH."""
    found = [Path(path).parent for path in (shutil.which("postgres"),) if path]
    found += sorted(path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1] if found else None


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of an empty database; the server refuses to run as root, so there it runs as nobody."""
    folder = programs()
    if folder is None:
        pytest.skip("No PostgreSQL server is installed (Debian: apt-get install postgresql).")
    user = {"user": "nobody"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(
        prefix="pg"
    ) as place:  # short: a socket's path has 107 characters at most
        if user:
            shutil.chown(place, "nobody")
        data = f"{place}/data"
        quiet = {"stdout": subprocess.DEVNULL, "cwd": "/", **user}
        make = [folder / "initdb", "-D", data, "-U", "foveate", "-A", "trust", "--no-sync"]
        subprocess.run(make, check=True, **quiet)  # type: ignore[call-overload]
        start = [folder / "postgres", "-D", data, "-k", place, "-c", "listen_addresses=", "-c", "fsync=off"]
        process = subprocess.Popen(start, stderr=subprocess.DEVNULL, **quiet)  # type: ignore[call-overload]
        try:
            for _ in range(300):
                if subprocess.run([folder / "pg_isready", "-q", "-h", place], check=False).returncode == 0:
                    break
                assert process.poll() is None, "the server has ended"
                time.sleep(0.1)
            yield f"postgresql://foveate@/postgres?host={place}"
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown
            process.wait(30)


def outcomes(given: Task) -> list[tuple[object, ...]]:
    database = given.database()
    try:
        return [(e.number, e.state, e.value, e.settings) for e in rank(database).entries]
    finally:
        database.close()


def test_two_processes_one_of_which_dies_find_what_one_finds_in_a_file(server: str, tmp_path: Path) -> None:
    shared = replace(task(tmp_path / "shared", trials=12, sampler="random"), storage=server)
    crew = [in_process(shared, Train(kill=kill)) for kill in (5, -1)]
    for process in crew:
        process.join(120)
    # Whoever takes the fifth trial with the order to die there dies; the other, or the next, takes it up.
    assert crew[1].exitcode == 0
    work(shared, Observer(), Train())
    found = outcomes(shared)
    assert [state for _, state, *_ in found] == ["complete"] * 12
    assert not (shared.out / "tune.db").exists()
    begun = [len(file.read_text().split()) for file in shared.out.glob("trials/*/calls")]
    assert sum(begun) == 12 + (crew[0].exitcode == -signal.SIGKILL)

    alone = task(tmp_path / "alone", trials=12, sampler="random")
    work(alone, Observer(), Train())
    assert found == outcomes(alone)

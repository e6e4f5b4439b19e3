"""Every address of the app, asked by a plain client: it says what the run says, and nothing to anybody else."""

import base64
import io
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foveate.app.session import Session
from foveate.core.errors import ConfigError
from foveate.experiment import Run
from foveate.explanation import EXPLAINERS

from .conftest import Client, Opened

HOSTILE = (
    "../../../etc/passwd",
    "..\\..\\boot.ini",
    "</script><img src=x onerror=alert(1)>.png",
    "a\r\nSet-Cookie: b.png",
    "nul\x00l.png",
    "x" * 5000 + ".png",
    "",
)


@pytest.fixture(scope="module")
def client(finished: Run, serve: Opened, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serve(finished, tmp_path_factory.mktemp("app") / "drawn") as opened:
        yield opened


@pytest.fixture(scope="module")
def files(tree: Path) -> list[Path]:
    return sorted((tree / "images" / "class1").iterdir())[:3]


def test_answers_are_those_of_predict(client: Client, finished: Run, files: list[Path]) -> None:
    found = [client("take", file.read_bytes(), name=file.name) for file in files]
    wanted = finished.predict(files, level=0.95)
    rule = finished.answer_rule(0.95)
    for k, answer in enumerate(found):
        np.testing.assert_allclose(answer["raw"], wanted.probabilities[k], rtol=1e-5)
        assert answer["order"][0] == wanted.prediction[k]
        assert answer["unsure"] == bool(wanted.look["not_sure"][k])
        assert wanted.possible is not None
        assert set(answer["possible"]) == set(np.flatnonzero(wanted.possible[k]).tolist())
        np.testing.assert_allclose(max(answer["shown"]), wanted.look["calibrated"][k], rtol=1e-5)
        logs = np.log(np.array(answer["raw"])) / rule.temperature
        np.testing.assert_allclose(answer["shown"], np.exp(logs) / np.exp(logs).sum(), rtol=1e-4)
        assert (answer["width"], answer["height"]) == (32, 32)


def test_the_table_has_all_answers_under_their_own_names(
    finished: Run, serve: Opened, tmp_path: Path, files: list[Path]
) -> None:
    with serve(finished, None) as fresh:
        assert fresh("table") == (422, "No picture has been answered yet.")
        for name, file in zip(("one.png", '=two,".png', "one.png"), files, strict=True):
            fresh("take", file.read_bytes(), name=name)
        found = pd.read_csv(io.BytesIO(fresh("table")))
    finished.predict(files, level=0.95).to_csv(tmp_path / "table.csv")
    wanted = pd.read_csv(tmp_path / "table.csv")
    assert found["path"].tolist() == ["one.png", '=two,".png', "one.png"]
    pd.testing.assert_frame_equal(found.drop(columns="path"), wanted.drop(columns="path"), rtol=1e-4)


@pytest.mark.parametrize("method", ["gradcam", "eigencam", "occlusion", "gradient"])
def test_maps_are_those_of_explain(client: Client, finished: Run, files: list[Path], method: str) -> None:
    key = client("take", files[0].read_bytes(), name="a.png")["key"]
    for target, name in enumerate(finished.catalog.classes[:2]):
        found = client("map", key=key, method=method, **{"class": target})
        (explained,) = finished.explain(files[0], method, target=name)
        (column,) = explained.columns
        wanted = explained.over(column.key)
        if not column.layer:
            wanted = (wanted / (np.percentile(wanted, 99.5) or 1)).clip(0, 1)
        levels = np.frombuffer(base64.b64decode(found["levels"]), dtype=np.uint8)
        np.testing.assert_allclose(levels.reshape(found["height"], found["width"]) / 255, wanted, atol=0.01)
        assert found["box"] == [0, 0, 32, 32]


def test_what_the_network_did_not_see_is_outside_the_box(
    finished: Run, serve: Opened, tree: Path, tmp_path: Path
) -> None:
    run = Run.open(finished.folder)
    data = run.experiment.data.model_copy(update={"fit": "crop"})
    run.experiment = run.experiment.model_copy(update={"data": data})
    buffer = io.BytesIO()
    Image.effect_mandelbrot((60, 40), (-2, -1.2, 1, 1.2), 60).convert("RGB").save(buffer, "PNG")
    with serve(run, None, level=None) as cropped:
        key = cropped("take", buffer.getvalue(), name="wide.png")["key"]
        assert cropped("map", key=key)["box"] == [10, 0, 40, 40]


def test_the_list_of_explainers_loses_what_means_nothing_here(client: Client) -> None:
    client.app.session.try_explainers()
    for _ in range(600):
        found = client("explainers")
        if found["tried"]:
            break
        time.sleep(0.1)
    assert found["tried"]
    names = {one["name"] for one in found["explainers"]}
    assert names < set(EXPLAINERS)
    assert {"attention_rollout", "transformer_relevance"} & names == set()  # no transformer
    assert {"gradcam", "rise", "lime", "integrated_gradients"} <= names
    assert {one["name"] for one in found["explainers"] if one["slow"]} >= {"rise", "lime"}


def test_pictures_of_a_split_wrong_ones_first(client: Client, finished: Run) -> None:
    listed = client("pictures", split="test")["pictures"]
    table = finished.predictions.of_split("test")
    assert {one["path"] for one in listed} == set(table.path.tolist())
    row = {path: k for k, path in enumerate(table.path.tolist())}
    order = [row[one["path"]] for one in listed]
    wrong = [k for k in order if not table.correct[k]]
    right = [k for k in order if table.correct[k]]
    assert order == wrong + right
    assert [table.loss[k] for k in wrong] == sorted((table.loss[k] for k in wrong), reverse=True)
    lift = table.look["energy_in_mask"] / table.look["energy_chance"]
    assert [lift[k] for k in right] == sorted(lift[k] for k in right)
    for one in listed:
        k = row[one["path"]]
        assert one["energy"] == pytest.approx(float(table.look["energy_in_mask"][k]))
        assert one["right"] == bool(table.correct[k])
        assert finished.catalog.samples[int(one["key"][1:])].path == one["path"]


def test_training_pictures_are_measured_when_they_are_asked_for(client: Client, finished: Run) -> None:
    found = client("pictures", split="train")
    while "pictures" not in found:
        assert 0 <= found["done"] < found["of"]
        time.sleep(0.05)
        found = client("pictures", split="train")
    rows = finished.catalog.indices("train")
    assert len(found["pictures"]) == len(rows)
    files = {one["path"]: one for one in found["pictures"]}
    wanted = finished.predict([finished.catalog.file(row) for row in rows])
    for k, row in enumerate(rows):
        one = files[finished.catalog.samples[row].path]
        assert one["prediction"] == finished.catalog.classes[wanted.prediction[k]]
        assert one["share"] == pytest.approx(float(wanted.confidence[k]), rel=1e-5)
        assert 0 <= one["energy"] <= 1
    opened = client("open", key=found["pictures"][0]["key"])
    assert opened["raw"][opened["order"][0]] == pytest.approx(found["pictures"][0]["share"], rel=1e-5)


def test_pictures_are_sent_at_the_size_that_is_asked_for(client: Client, files: list[Path]) -> None:
    key = client("take", files[0].read_bytes(), name="a.png")["key"]
    sent = Image.open(io.BytesIO(client("picture", key=key, side=16)))
    assert (sent.format, sent.size) == ("JPEG", (16, 16))
    assert Image.open(io.BytesIO(client("picture", key="r0", side=10**8))).size == (32, 32)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_files_are_text(client: Client, files: list[Path], name: str) -> None:
    session: Session = client.app.session
    before = len(list(session.folder.iterdir()))
    key = client("take", files[0].read_bytes(), name=name)["key"]
    assert {file.name for file in session.folder.iterdir()} >= {key}
    assert len(list(session.folder.iterdir())) <= before + 2  # and the table
    table = pd.read_csv(io.BytesIO(client("table")), keep_default_na=False)
    kept = table["path"].iloc[-1]
    assert "/" not in kept.replace("</script>", "")
    assert 1 <= len(kept) <= 255
    refused = client("take", b"no picture", name=name)
    assert refused[0] == 422
    assert "cannot be read" in refused[1]
    assert str(session.folder) not in refused[1]


@pytest.mark.parametrize(
    "path",
    [
        "../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "picture/../../etc/passwd",
        "static/page.js",
        "picture/",
    ],
)
def test_there_are_no_files_behind_addresses(client: Client, path: str) -> None:
    status, _, content = client.raw("GET", f"/{client.app.token}/{path}")
    assert status == 404
    assert b"root:" not in content


@pytest.mark.parametrize("key", ["", "u999", "r-1", "r999999", "r1e3", "../u1", "r" + "9" * 400, "r\u0663"])
def test_keys_are_those_of_pictures(client: Client, key: str) -> None:
    for way in ("picture", "open", "map", "mask"):
        status, sentence = client(way, key=key)
        assert (status, sentence[:16]) == (422, "There is no pict")


def test_only_the_page_itself_is_answered(client: Client, files: list[Path]) -> None:
    port, token = client.app.server_port, client.app.token
    own = f"http://127.0.0.1:{port}"
    ways = {"take?name=a": files[0].read_bytes(), "mask?key=r0": b"\0" * 1024, "": None, "table": None}
    for way, body in ways.items():
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://127.0.0.1:{port + 1}"},
            {"Host": f"evil.example:{port}"},
            {"Host": "127.0.0.1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            status, _, content = client.raw(
                "GET" if body is None else "POST", f"/{token}/{way}", body, headers
            )
            assert (status, b"answered" in content) == (403, True), (way, headers)
        for wrong in ("", "x" + token[1:], token[:-1], "%C3%A9"):
            path = f"/{wrong}/{way}"
            assert client.raw("GET" if body is None else "POST", path, body)[0] == 403
    assert client.raw("GET", f"/{token}/", headers={"Origin": own, "Sec-Fetch-Site": "same-origin"})[0] == 200
    assert client.raw("GET", f"/{token}/", headers={"Host": f"localhost:{port}"})[0] == 200
    assert client.raw("DELETE", f"/{token}/")[0] == 501


def test_the_page_allows_nothing_from_elsewhere(client: Client) -> None:
    status, headers, content = client.raw("GET", f"/{client.app.token}/")
    assert status == 200
    assert (headers["X-Frame-Options"], headers["Referrer-Policy"]) == ("DENY", "no-referrer")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert b"default-src 'none'; img-src 'self' data: blob:; connect-src 'self'; style-src" in content
    assert b"http://" not in content.replace(b"http://www.w3.org", b"")
    assert client.app.server_address[0] == "127.0.0.1"


def test_what_is_wrong_is_said_in_a_sentence(client: Client, finished: Run) -> None:
    path = f"/{client.app.token}/take?name=a"
    status, _, content = client.raw("POST", path, b"", {"Content-Length": str(10**12)})
    assert (status, b"at most 268 MB are taken" in content) == (422, True)
    status, _, content = client.raw("POST", path, b"", {"Content-Length": "many"})
    assert (status, b"does not say how long it is" in content) == (422, True)
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    status, sentence = client("take", bomb.getvalue(), name="bomb.png")
    assert (status, sentence.startswith("bomb.png cannot be read: ")) == (422, True)
    for asked, wanted in (
        ({"method": "magic"}, "There is no explainer 'magic'"),
        ({"method": "own attention"}, "draws no map 'attention'"),
        ({"class": "7"}, "There is no class 7"),
        ({"class": "-1"}, "'class' should be a number"),
        ({"method": "attention_rollout"}, "attention"),
    ):
        status, sentence = client("map", key="r0", **asked)
        assert status == 422
        assert wanted in sentence
    with pytest.raises(ConfigError, match=r"Port .* cannot be used .*choose another --port"):
        type(client.app)(client.app.session, client.app.server_port)


def test_a_map_that_nobody_waits_for_is_not_made(
    client: Client, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session: Session = client.app.session
    key = client("take", files[0].read_bytes(), name="a.png")["key"]
    made: list[str] = []
    values = session._values
    monkeypatch.setattr(
        session, "_values", lambda file, method, *more: made.append(method) or values(file, method, *more)
    )
    with session.lock:
        gone = socket.create_connection(("127.0.0.1", client.app.server_port))
        path = f"/{client.app.token}/map?key={key}&method=eigencam"
        gone.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{client.app.server_port}\r\n\r\n".encode())
        gone.close()
        time.sleep(0.2)
    assert client("map", key=key, method="gradcam")["width"] == 32
    assert made == ["gradcam"]


def test_pictures_that_cannot_be_read_any_more_are_left_out_of_the_list(
    serve: Opened, finished: Run, tree: Path, tmp_path: Path
) -> None:
    run = Run.open(finished.folder)
    run.catalog = replace(finished.catalog, root=Path(shutil.copytree(tree, tmp_path / "copy")))
    row = int(finished.catalog.indices("train")[3])
    run.catalog.file(row).write_bytes(b"no picture any more")
    with serve(run, tmp_path / "drawn") as client:
        while "pictures" not in (found := client("pictures", split="train")):
            time.sleep(0.05)
        paths = {one["path"] for one in found["pictures"]}
        samples = finished.catalog.samples
        assert paths == {samples[k].path for k in finished.catalog.indices("train").tolist() if k != row}
        status, sentence = client("open", key=f"r{row}")
        assert (status, "cannot be read" in sentence) == (422, True)


def test_several_pages_at_once(client: Client, finished: Run, files: list[Path]) -> None:
    found: list[dict[str, list[float]]] = []
    contents = [file.read_bytes() for file in files] * 4
    threads = [
        threading.Thread(target=lambda c=content: found.append(client("take", c, name="a")))
        for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = sorted(finished.predict(files).probabilities[:, 0].tolist() * 4)
    np.testing.assert_allclose(sorted(one["raw"][0] for one in found), wanted, rtol=1e-5)


def test_without_its_pictures_a_run_still_answers(
    finished: Run, serve: Opened, files: list[Path], tmp_path: Path
) -> None:
    run = Run.open(finished.folder)
    run.catalog = replace(finished.catalog, root=tmp_path / "gone")
    with serve(run, None) as client:
        assert client("take", files[0].read_bytes(), name="a")["key"] == "u1"
        assert client("pictures", split="train") == {"pictures": []}
        assert client("open", key="r0")[0] == 422
        assert b"Correct it where it looks wrong</h2>" not in client("")

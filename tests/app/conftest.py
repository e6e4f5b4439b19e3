"""An app on a run of small pictures, and a client as plain as Python has one."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import pytest

from foveate.app.drawn_masks import DrawnMasks
from foveate.app.server import App
from foveate.app.session import Session
from foveate.experiment import Run


class Client:
    """Asks the app, as its page does unless told otherwise."""

    def __init__(self, app: App) -> None:
        self.app = app

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.app.server_port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def __call__(self, way: str, body: bytes | None = None, **asked: Any) -> Any:
        """What a way says: bytes of a picture or table, else values; (status, sentence) where it refuses."""
        path = f"/{self.app.token}/{way}?{urlencode(asked)}"
        status, headers, content = self.raw("GET" if body is None else "POST", path, body)
        if headers["Content-Type"] != "application/json":
            return content
        found = json.loads(content)
        return found if status == 200 else (status, found["error"])


Opened = Callable[..., AbstractContextManager[Client]]


@pytest.fixture(scope="session")
def serve() -> Opened:
    """serve(run, folder of the masks) -> the client of an app on it."""

    @contextmanager
    def opened(run: Run, masks: Path | None, level: float | None = 0.95) -> Iterator[Client]:
        with TemporaryDirectory() as folder:
            drawn = None if masks is None else DrawnMasks(run, masks)
            session = Session(run, Path(folder), "cpu", level, None, drawn)
            with App(session) as app:
                threading.Thread(target=app.serve_forever, args=(0.01,), daemon=True).start()
                yield Client(app)
                app.shutdown()
                session.close()

    return opened

"""The page and what it asks for, on this computer alone: bound to loopback, behind a token in the address, and deaf to
pages of other origins."""

import base64
import io
import json
import secrets
import select
import socket
import socketserver
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from foveate.app.session import Session, preview
from foveate.core.errors import ConfigError, DataError, FoveateError, refusals_in_words
from foveate.core.files import LONGEST_NAME
from foveate.data.annotations.proposed import source_of
from foveate.export.graph import answers_of, card_of, subject_for_export
from foveate.export.page import page_of, part

HOST = "127.0.0.1"
LARGEST = 256 * 1024**2
"""Bytes of a picture's file."""
SIDES = (16, 2048)
"""px of a picture that is sent."""
HERE = "foveate.app"

Asked = Mapping[str, str]
"""What stands behind the "?" of an address."""
Reply = tuple[str, bytes]
"""(type, content)."""


class App(ThreadingHTTPServer):
    """The server; ``serve_forever`` runs it, ``url`` opens it.

    Raises:
        ConfigError: the port is taken, or may not be used.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session, self.token = session, secrets.token_urlsafe(16)
        try:
            super().__init__((HOST, port), Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or "a port is a number from 0 to 65535"
            raise ConfigError(
                f"Port {port} of this computer cannot be used ({why}); choose another --port, or leave it out."
            ) from None
        self.page = _page(session)

    def server_bind(self) -> None:
        """Without asking for the name of the address, as the standard library would."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who closes a page leaves before everything has arrived."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: App
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Foveate", ""
    timeout = 60
    """Seconds in which nothing comes."""

    def do_GET(self) -> None:
        self._respond({
            "": self._page, "explainers": self._explainers, "map": self._map, "table": self._table,
            "pictures": self._pictures, "open": self._open, "picture": self._picture, "mask": self._mask,
        })  # fmt: skip

    def do_POST(self) -> None:
        self._respond({"take": self._take, "mask": self._save})

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""

    def _respond(self, ways: Mapping[str, Callable[[Asked], Reply]]) -> None:
        status, (kind, content) = self._answer(ways)
        if status != HTTPStatus.OK:
            self.close_connection = True  # what came with the request may not have been read
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind), ("Content-Length", str(len(content))), ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):  # fmt: skip
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, ways: Mapping[str, Callable[[Asked], Reply]]) -> tuple[HTTPStatus, Reply]:
        refused = self._refused()
        if refused:
            return HTTPStatus.FORBIDDEN, _json({"error": refused})
        address = urlsplit(self.path)
        token, _, rest = unquote(address.path).lstrip("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return HTTPStatus.FORBIDDEN, _json({"error": "Open the address that foveate app printed."})
        way = ways.get(rest)
        if way is None:
            return HTTPStatus.NOT_FOUND, _json({"error": "There is nothing here."})
        try:
            with refusals_in_words():
                return HTTPStatus.OK, way(
                    {name: values[0] for name, values in parse_qs(address.query).items()}
                )
        except FoveateError as error:
            return HTTPStatus.UNPROCESSABLE_ENTITY, _json({"error": str(error)})

    def _refused(self) -> str:
        """Why nobody is answered who did not come from the page itself; "" for the page."""
        own = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host not in own:
            return "Only this computer is answered."
        if origin not in (None, f"http://{host}"):
            return "Other pages are not answered."
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return "Other pages are not answered."
        return ""

    def _waits(self) -> bool:
        """Whether who has asked is still there."""
        if not select.select([self.connection], [], [], 0)[0]:
            return True
        return bool(self.connection.recv(1, socket.MSG_PEEK))

    def _body(self) -> bytes:
        text = self.headers.get("Content-Length", "")
        if not (text.isascii() and text.isdecimal()):
            raise DataError("The request does not say how long it is.")
        if int(text) > LARGEST:
            raise DataError(
                f"The file has {int(text) / 1e6:.0f} MB; at most {LARGEST / 1e6:.0f} MB are taken."
            )
        return self.rfile.read(int(text))

    # ---- What can be asked for.

    def _page(self, asked: Asked) -> Reply:
        return "text/html; charset=utf-8", self.server.page

    def _take(self, asked: Asked) -> Reply:
        name = asked.get("name", "").replace("\\", "/").rsplit("/", 1)[-1][:LONGEST_NAME]
        return _json(self.server.session.take(self._body(), name or "picture"))

    def _open(self, asked: Asked) -> Reply:
        return _json(self.server.session.open(asked.get("key", "")))

    def _explainers(self, asked: Asked) -> Reply:
        return _json(self.server.session.explainers())

    def _map(self, asked: Asked) -> Reply:
        levels, box = self.server.session.map(
            asked.get("key", ""), asked.get("method", "gradcam"), _number(asked, "class", 0), self._waits
        )
        height, width = levels.shape
        return _json({"width": width, "height": height, "box": box, "levels": _text(levels)})

    def _table(self, asked: Asked) -> Reply:
        return "text/csv; charset=utf-8", self.server.session.table()

    def _pictures(self, asked: Asked) -> Reply:
        own = self.server.session.own
        return _json(own.listed(asked.get("split", "train")) if own else {"pictures": []})

    def _picture(self, asked: Asked) -> Reply:
        side = min(max(_number(asked, "side", 900), SIDES[0]), SIDES[1])
        buffer = io.BytesIO()
        preview(self.server.session.file(asked.get("key", "")), side).save(buffer, "JPEG", quality=92)
        return "image/jpeg", buffer.getvalue()

    def _mask(self, asked: Asked) -> Reply:
        session = self.server.session
        row = session.row(asked.get("key", ""))
        drawn = session.drawn
        assert drawn is not None
        file, painted = drawn.file(row), drawn.painted(row)
        source = "here" if drawn.drawn(row) else source_of(drawn.catalog.root, drawn.reference(row))
        height, width = painted.shape
        return _json({
            "width": width, "height": height, "mask": _text(painted.astype(np.uint8)), "source": source,
            "file": str(file),
        })  # fmt: skip

    def _save(self, asked: Asked) -> Reply:
        session = self.server.session
        row = session.row(asked.get("key", ""))
        drawn = session.drawn
        assert drawn is not None
        values = np.frombuffer(self._body(), dtype=np.uint8)
        height, width = drawn.painted(row).shape
        if len(values) != width * height or values.max(initial=0) > 1:
            raise DataError(
                f"A mask of {width} x {height} bytes, each 0 or 1, is needed; it is not as it was sent."
            )
        with session.lock:
            file = drawn.save(row, values.reshape(height, width) > 0)
        return _json({"file": str(file), "folder": str(drawn.folder), "command": drawn.command()})


def _page(session: Session) -> bytes:
    """The page of a run.

    Raises:
        RunError: a pretext run.
    """
    run = session.run
    card = card_of(subject_for_export(run), None, answers_of(run))
    splits = {"train": "training", "val": "validation", "test": "test"}
    values = {
        "thumbnails": [],
        "splits": [name for name in splits if session.drawn and len(run.catalog.indices(name))],
    }
    text = page_of(
        run, card, "app.html.j2",
        (part("page.js"), part("app.js", HERE), part("correct.js", HERE)), values, HERE,
        far=session.familiarity, nearest=False, splits={name: splits[name] for name in values["splits"]},
        folder=session.drawn.folder if session.drawn else None,
    )  # fmt: skip
    return text.encode()


def _json(value: Any) -> Reply:
    return "application/json", json.dumps(value, allow_nan=False).encode()


def _text(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _number(asked: Asked, name: str, default: int) -> int:
    text = asked.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise DataError(f"'{name}' should be a number, got '{text[:20]}'.")
    return int(text)

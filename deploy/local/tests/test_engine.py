import socketserver
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from estafette_local.engine import Engine


class FakeEngine(socketserver.ThreadingUnixStreamServer):
    """Answers the few questions that are asked of the Docker Engine."""

    def __init__(self, path: str) -> None:
        super().__init__(path, _Handler)
        self.images: set[str] = set()
        self.registry: set[str] = set()


class _Handler(BaseHTTPRequestHandler):
    server: FakeEngine

    def do_GET(self) -> None:
        image = self.path.removeprefix("/images/").removesuffix("/json")
        self._answer(200 if self.path == "/_ping" or image in self.server.images else 404)

    def do_POST(self) -> None:
        wanted = self.path.removeprefix("/images/create?fromImage=").replace("&tag=", ":")
        self.server.images |= self.server.registry & {wanted}
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def fake() -> Iterator[FakeEngine]:
    with tempfile.TemporaryDirectory() as folder, FakeEngine(f"{folder}/docker.sock") as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def engine(fake: FakeEngine) -> Engine:
    return Engine(str(fake.server_address))


def test_an_image_that_is_there_can_run(fake: FakeEngine, engine: Engine) -> None:
    fake.images.add("busybox:latest")
    assert engine.can_run("busybox:latest") == ""


def test_a_missing_image_is_pulled(fake: FakeEngine, engine: Engine) -> None:
    fake.registry.add("busybox:latest")
    assert engine.can_run("busybox:latest") == ""
    assert fake.images == {"busybox:latest"}


@pytest.mark.usefixtures("fake")
def test_an_image_that_cannot_be_pulled_is_named(engine: Engine) -> None:
    assert engine.can_run("busybox:latest") == "the Docker Engine has no image busybox:latest and cannot pull it"


def test_without_an_engine_the_reason_names_the_socket(tmp_path: Path) -> None:
    assert Engine(f"{tmp_path}/none").can_run("busybox:latest") == f"there is no Docker Engine at {tmp_path}/none"


def test_an_engine_that_does_not_listen_is_no_engine(tmp_path: Path) -> None:
    (tmp_path / "dead.sock").touch()
    assert "cannot be asked" in Engine(f"{tmp_path}/dead.sock").can_run("busybox:latest")

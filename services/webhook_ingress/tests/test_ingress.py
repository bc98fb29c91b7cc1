import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import Any
from uuid import uuid4

import aiohttp
import nats
import pytest
import structlog
from aiohttp import web
from estafette_common.bus.messages.events import GithubEvent, GitPushed
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually
from nats.js import JetStreamContext
from webhook_ingress.app import create_app
from webhook_ingress.settings import Settings

NONE: Mapping[str, str | None] = {}

SECRET = "it's a secret to everybody"
PATH = "/api/integrations/github/events"
PUSH: dict[str, Any] = {
    "ref": "refs/heads/main",
    "before": "1" * 40,
    "after": "2" * 40,
    "deleted": False,
    "repository": {"name": "shop.api", "owner": {"login": "acme"}, "full_name": "acme/shop.api"},
    "pusher": {"name": "robin", "email": "robin@example.com"},
    "commits": [{"message": "Sell more", "author": {"name": "Robin", "email": "robin@example.com"}}],
    "installation": {"id": 7},
}


class Ingress:
    """The real application on a free port, and a client that signs as GitHub does."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def send(
        self, body: bytes, *, event: str = "push", delivery: str = "d-1", headers: Mapping[str, str | None] = NONE
    ) -> tuple[int, Any]:
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        sent = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": signature,
            "Content-Type": "application/json",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in sent.items() if value is not None}
        async with self._session.post(self.url + PATH, data=body, headers=given) as response:
            return response.status, await response.json()

    async def ready(self) -> bool:
        async with self._session.get(f"{self.url}/readiness") as response:
            return response.status == 200


@pytest.fixture
async def ingress(nats_server: NatsServer) -> AsyncIterator[Ingress]:
    port = free_port()
    settings = Settings(nats_url=nats_server.url, port=port, github_webhook_secret=SECRET)
    runner = web.AppRunner(create_app(settings))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with aiohttp.ClientSession() as session:
        ingress = Ingress(f"http://127.0.0.1:{port}", session)
        yield ingress
    await runner.cleanup()


@pytest.fixture
async def jetstream(nats_server: NatsServer, ingress: Ingress) -> AsyncIterator[JetStreamContext]:
    await eventually(ingress.ready)
    client = await nats.connect(nats_server.url)
    yield client.jetstream()
    await client.close()


async def stored(jetstream: JetStreamContext) -> int:
    return (await jetstream.stream_info("EVENTS")).state.messages


async def test_a_push_is_stored_as_it_came_and_in_our_words(ingress: Ingress, jetstream: JetStreamContext) -> None:
    body = json.dumps(PUSH).encode()

    status, answer = await ingress.send(body, delivery="d-1")

    raw = await jetstream.get_last_msg("EVENTS", "event.github.push")
    push = await eventually(lambda: jetstream.get_last_msg("EVENTS", "event.git.push"))
    assert (status, answer) == (200, {"event": "push", "delivery": "d-1"})
    assert GithubEvent.decode(raw.data or b"", raw.headers or {}).payload == body
    assert (raw.headers or {})["Nats-Msg-Id"] == "d-1"
    pushed = GitPushed.decode(push.data or b"", {})
    assert pushed.repository.pipeline == "github.com/acme/shop.api"
    assert (pushed.branch, pushed.revision, pushed.installation) == ("main", "2" * 40, 7)
    assert pushed.commits[0].author.email == "robin@example.com"


async def test_a_delivery_that_is_repeated_is_stored_once(ingress: Ingress, jetstream: JetStreamContext) -> None:
    body = json.dumps(PUSH).encode()

    answers = await asyncio.gather(*(ingress.send(body, delivery="d-1") for _ in range(5)))

    assert [status for status, _ in answers] == [200] * 5
    await eventually(lambda: jetstream.get_last_msg("EVENTS", "event.git.push"))
    assert await stored(jetstream) == 2


async def test_an_event_of_a_kind_we_do_not_know_is_accepted(ingress: Ingress, jetstream: JetStreamContext) -> None:
    status, _ = await ingress.send(b'{"zen": "Keep it logically awesome."}', event="new.kind>")

    assert status == 200
    assert (await jetstream.get_last_msg("EVENTS", "event.github.new%2Ekind%3E")).data is not None


async def test_a_payload_beyond_a_message_goes_to_the_object_store(
    ingress: Ingress, jetstream: JetStreamContext
) -> None:
    body = json.dumps({**PUSH, "padding": Random(1).randbytes(1_000_000).hex()}).encode()

    status, _ = await ingress.send(body, delivery="large")

    raw = await jetstream.get_last_msg("EVENTS", "event.github.push")
    push = await eventually(lambda: jetstream.get_last_msg("EVENTS", "event.git.push"))
    kept = await (await jetstream.object_store("payloads")).get("large")
    assert (status, raw.data or b"", kept.data) == (200, b"", body)
    assert (raw.headers or {})["ce-dataref"] == "payloads/large"
    assert GitPushed.decode(push.data or b"", {}).revision == "2" * 40


async def test_a_push_that_cannot_be_told_in_our_words_is_a_dead_letter_that_says_why(
    ingress: Ingress, jetstream: JetStreamContext
) -> None:
    body = json.dumps({**PUSH, "commits": [{"message": 7}]}).encode()

    status, _ = await ingress.send(body)

    dead = await eventually(lambda: jetstream.get_last_msg("DEAD", "dead.event.github.push"), within=20)
    assert status == 200
    assert "a commit of it" in (dead.headers or {})["estafette-reason"]


REFUSALS: list[tuple[str, int, str, bytes, dict[str, str | None]]] = [
    (
        "wrong signature",
        401,
        "does not match",
        b'{"a": "SECRETPAYLOAD"}',
        {"X_Hub_Signature_256": "sha256=" + "0" * 64},
    ),
    ("missing signature", 401, "missing", b'{"a": "SECRETPAYLOAD"}', {"X_Hub_Signature_256": None}),
    (
        "sha-1 only",
        401,
        "SHA-1",
        b'{"a": "SECRETPAYLOAD"}',
        {"X_Hub_Signature_256": None, "X_Hub_Signature": "sha1=" + "0" * 40},
    ),
    ("too large", 413, "larger", b"SECRETPAYLOAD" + b"x" * 30_000_000, {}),
    ("invalid json", 400, "push payload", b'{"a": SECRETPAYLOAD', {}),
    ("invalid json, other kind", 400, "JSON object", b'{"a": SECRETPAYLOAD', {"X_GitHub_Event": "issues"}),
    ("not a push", 400, "ref", b'{"a": "SECRETPAYLOAD"}', {}),
    ("nested too deeply", 400, "nested too deeply", b'{"SECRETPAYLOAD":' * 5000, {"X_GitHub_Event": "issues"}),
    ("a push nested too deeply", 400, "not a push payload", b'{"SECRETPAYLOAD":' * 5000, {}),
    ("not UTF-8", 400, "UTF-8", b'{"SECRETPAYLOAD": "\xff"}', {"X_GitHub_Event": "issues"}),
    ("a push that is not UTF-8", 400, "UTF-8", b'\xff{"ref": "SECRETPAYLOAD"}', {}),
    ("not in the coding that it names", 400, "read to its end", b"SECRETPAYLOAD", {"Content_Encoding": "gzip"}),
    ("no delivery", 400, "X-GitHub-Delivery", b'{"a": "SECRETPAYLOAD"}', {"X_GitHub_Delivery": None}),
    (
        "a form",
        415,
        "application/json",
        b"payload=SECRETPAYLOAD",
        {"Content_Type": "application/x-www-form-urlencoded"},
    ),
]


@pytest.mark.parametrize(
    ("status", "reason", "body", "headers"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
async def test_what_is_not_verified_or_not_a_webhook_is_refused_without_a_trace_of_it(
    ingress: Ingress,
    jetstream: JetStreamContext,
    status: int,
    reason: str,
    body: bytes,
    headers: dict[str, str | None],
) -> None:
    with structlog.testing.capture_logs() as logs:
        given, answer = await ingress.send(body, headers=headers)

    assert given == status
    assert reason in answer["message"]
    assert "SECRETPAYLOAD" not in repr(logs) + repr(answer)
    assert await stored(jetstream) == 0


async def test_nothing_is_promised_while_nats_is_away_and_the_repeat_is_stored_once(
    ingress: Ingress, nats_server: NatsServer
) -> None:
    nats_server.stop()
    body = json.dumps(PUSH).encode()

    status, _ = await ingress.send(body, delivery=f"away-{uuid4()}")
    nats_server.start()
    await eventually(ingress.ready)
    repeated, _ = await ingress.send(body, delivery="d-2")

    assert (status, repeated) == (503, 200)

"""How the watch goes on, against an API server that ends watches, forgets versions, and goes away."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from estafette_common.jobs.runtimes import NotYetError, Seen, Waiting
from estafette_common.jobs.runtimes.kubernetes_api import Api
from estafette_common.jobs.runtimes.kubernetes_judging import Patience
from estafette_common.jobs.runtimes.kubernetes_watching import Watching
from estafette_local.waiting import eventually
from kubernetes_asyncio import client

Event = dict[str, Any]
GONE: Event = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "metadata": {}}}


def pod(job_id: str, version: int, *, node: str = "") -> Event:
    """Return a pod that waits for a node, or for its container."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    scheduled = {"type": "PodScheduled", "status": "True" if node else "False", "lastTransitionTime": now}
    labels = {"jobType": "build", "estafette.io/job-id": job_id, "job-name": f"build-{job_id}"}
    return {
        "metadata": {
            "name": f"p-{job_id}",
            "labels": labels,
            "resourceVersion": str(version),
            "creationTimestamp": now,
        },
        "spec": {"nodeName": node},
        "status": {"phase": "Pending", "conditions": [scheduled]},
    }


class Server:
    """An API server that does as the test says; its pods have a list, and watches that are played one by one."""

    def __init__(self) -> None:
        self.url = ""
        self.pods: list[Event] = []
        self.version = 1
        self.plays: list[list[Event] | int] = []
        """What each watch of pods gives before it ends, or the status that it is refused with; then all stay open."""
        self.lists = 0
        self.watched_from: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        is_pods = request.path.endswith("/pods")
        if "watch" not in request.query:
            self.lists += is_pods
            items = self.pods if is_pods else []
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})
        if is_pods:
            self.watched_from.append(request.query["resourceVersion"])
        play = self.plays.pop(0) if is_pods and self.plays else None
        if isinstance(play, int):
            return web.Response(status=play)
        response = web.StreamResponse()
        await response.prepare(request)
        for event in play or ():
            await response.write(json.dumps(event).encode() + b"\n")
        if play is None:
            await asyncio.Event().wait()
        return response


class Notes:
    """Notes what is told; busy as often as the test says."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Waiting]] = []
        self.busy = 0

    async def waits(self, seen: Seen) -> None:
        if self.busy:
            self.busy -= 1
            raise NotYetError("busy")
        assert isinstance(seen.state, Waiting)
        self.waiting.append((seen.job_id, seen.state))

    async def lost(self, seen: Seen) -> None:
        """Nothing is lost here."""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def watch(server: Server) -> AsyncIterator[Callable[[], Notes]]:
    """Begin to watch; returns what is told."""
    configuration = client.Configuration()
    configuration.host = server.url
    api = Api("jobs", calls_per_second=0)
    api._client = client.ApiClient(configuration)
    patience = Patience(image=60.0, node=60.0, scheduling=60.0)
    running: list[asyncio.Task[None]] = []

    def begin() -> Notes:
        notes = Notes()
        running.append(asyncio.create_task(Watching(api, "createdBy=estafette", patience, notes).run()))
        return notes

    yield begin
    for task in running:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await api.close()


async def test_what_is_there_and_what_changes_is_told_once(server: Server, watch: Callable[[], Notes]) -> None:
    server.pods = [pod("7", 1)]
    same, moved = pod("7", 2), pod("7", 3, node="node-1")
    server.plays = [[{"type": "MODIFIED", "object": same}, {"type": "MODIFIED", "object": moved}]]

    notes = watch()

    await eventually(lambda: ("7", Waiting.SCHEDULED) in notes.waiting)
    assert len(notes.waiting) == len(set(notes.waiting)) <= 2


async def test_a_watch_that_ends_goes_on_after_what_it_gave_last_and_not_at_once(
    server: Server, watch: Callable[[], Notes]
) -> None:
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    server.plays = [[{"type": "ADDED", "object": pod("7", 5)}], [bookmark], []]

    watch()
    began = asyncio.get_running_loop().time()

    await eventually(lambda: len(server.watched_from) == 4, within=20)
    assert server.watched_from == ["1", "5", "9", "9"]
    assert server.lists == 1
    assert asyncio.get_running_loop().time() - began > 0.5 + 1.0 + 2.0


@pytest.mark.parametrize("gone", [[GONE], 410], ids=["in the stream", "as the answer"])
async def test_where_a_version_is_not_kept_any_more_everything_is_listed_again(
    server: Server, watch: Callable[[], Notes], gone: Any
) -> None:
    server.plays = [gone]
    notes = watch()
    await eventually(lambda: server.lists == 1)
    server.pods, server.version = [pod("8", 20)], 20

    await eventually(lambda: ("8", Waiting.UNSCHEDULABLE) in notes.waiting)
    assert await eventually(lambda: server.watched_from[1:]) == ["20"]
    assert server.watched_from[0] == "1"


@pytest.mark.parametrize("status", [500, 429, 403])
async def test_a_server_that_refuses_a_watch_is_asked_again(
    server: Server, watch: Callable[[], Notes], status: int
) -> None:
    server.plays = [status, [{"type": "ADDED", "object": pod("7", 5)}]]

    notes = watch()

    await eventually(lambda: notes.waiting == [("7", Waiting.UNSCHEDULABLE)])


async def test_what_could_not_be_told_is_told_later(server: Server, watch: Callable[[], Notes]) -> None:
    server.pods = [pod("7", 1)]
    notes = watch()
    notes.busy = 1

    await eventually(lambda: notes.waiting == [("7", Waiting.UNSCHEDULABLE)], within=20)

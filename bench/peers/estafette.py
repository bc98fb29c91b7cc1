"""Ours."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import aiohttp
from estafette_common.bus import identity
from estafette_local.environment import Options
from estafette_local.forge import FakeForge
from estafette_local.people import GitRepository, Person, signed
from estafette_local.stack import Stack

from bench.peers.pushes import payload

MANIFEST = "stages:\n  hello:\n    image: busybox:latest\n    commands:\n    - echo hello\n"


@dataclass
class Estafette:
    """Ours, one process of each service."""

    session: aiohttp.ClientSession
    stack: Stack
    repositories: Path
    pushed: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    """Repository and delivery of each payload that can be built."""

    def payload(self, branch: str) -> bytes:
        name = f"shop-{uuid4().hex[:8]}"
        revision = "4" * 40
        if branch == "main":
            revision = GitRepository(self.repositories, "acme", name).commit({".estafette.yaml": MANIFEST})
        body = payload("acme", name, branch, revision)
        self.pushed[body] = name, str(uuid4())
        return body

    async def hook(self, body: bytes) -> None:
        delivery = signed(body, event="push", secret=self.stack.webhook_secret, delivery=self.pushed[body][1])
        if await self._person().deliver(delivery) != 200:
            raise ConnectionError("webhook-ingress refused")

    async def to_first_line(self) -> float:
        body = self.payload("main")
        name, delivery = self.pushed[body]
        build_id = identity.job_id(f"github.com/acme/{name}", identity.derive(delivery, identity.GIT_PUSH))
        build = {"repoSource": "github.com", "repoOwner": "acme", "repoName": name, "id": build_id}
        began = time.perf_counter()
        hooked = asyncio.ensure_future(self.hook(body))
        async for told in self._person().watch(build):
            if told.event == "log" and told.data["step"] == "hello" and "logLine" in told.data:
                await hooked
                return time.perf_counter() - began
        raise ConnectionError("the log ended without a line")

    async def ended(self) -> int:
        counted = await self._person().get("/api/status")
        return sum(each["count"] for each in counted["ended"] if each["outcome"] == "succeeded")

    def _person(self) -> Person:
        return Person(self.session, ingress=self.stack.url("webhook-ingress"), api=self.stack.url("api"))


@asynccontextmanager
async def estafette(folder: Path, session: aiohttp.ClientSession) -> AsyncIterator[Estafette]:
    """Run one of each service, in a folder of their own."""
    async with FakeForge(folder / "repositories") as forge:
        options = Options(github_api_url=forge.url, github_token="bench", manifest_source="github")
        stack = Stack(folder, options)
        await asyncio.to_thread(stack.start)
        try:
            yield Estafette(session, stack, folder / "repositories")
        finally:
            await asyncio.to_thread(stack.stop)

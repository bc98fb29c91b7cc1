"""Sends what was planned, as forges and external publishers do: again and again until it is taken."""

import asyncio
import dataclasses
from itertools import count
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import aiohttp
import nats.errors
from estafette_local.people import Delivery, GitRepository, Person, push_delivery, signed
from nats.aio.client import Client

from tests.proof.oracle import Sent
from tests.proof.pushes import OWNER, Malformed, Plan, Push

SAMPLE = {"ref": "", "repository": {"name": "", "owner": {"login": ""}}, "pusher": {}, "commits": []}

PATIENCE = 10.0
"""Seconds that GitHub waits for an answer."""

AGAIN_AFTER = 1.0
"""Seconds after which what was not taken is sent again, to the next replica."""

POISON = 2
"""Messages that nobody can handle."""


class Feeder:
    """Commits, sends webhooks, and remembers what was answered."""

    def __init__(self, person: Person, ingresses: list[str], root: Path, *, secret: str, seed: int) -> None:
        self._person = person
        self._ingresses = ingresses
        self._root = root
        self._secret = secret
        self._seed = seed
        self._committing: dict[str, asyncio.Lock] = {}
        self._pushes: list[tuple[str, str, Push]] = []
        self._refused: list[tuple[str, str]] = []
        self._poison: list[str] = []
        self.repeated = 0
        """Deliveries that were sent again although they had been taken."""
        self.tries = 0

    @property
    def sent(self) -> Sent:
        """What was sent so far and taken, or refused."""
        return Sent(pushes=[*self._pushes], refused=[*self._refused], poison=[*self._poison])

    async def feed(self, plan: Plan, bus: Client, *, seconds: float) -> None:
        """Send everything at its time; returns when all of it is answered."""
        async with asyncio.TaskGroup() as sending:
            for push in plan.pushes:
                sending.create_task(self.push(push))
            for malformed in plan.malformed:
                sending.create_task(self._malform(malformed))
            for number in range(POISON):
                sending.create_task(self._poison_at(bus, f"poison-{number}", seconds * (number + 1) / (POISON + 1)))

    async def push(self, push: Push) -> str:
        """Commit, and send the webhook at its time until it is taken; returns the revision."""
        await asyncio.sleep(push.at)
        repository = GitRepository(self._root, OWNER, push.repository)
        revision = await self._commit(repository, dict(push.files), f"Change {push.number}")
        own = str(uuid5(NAMESPACE_URL, f"proof/{self._seed}/{push.number}"))
        delivery = push_delivery(SAMPLE, repository, revision=revision, secret=self._secret, delivery=own)
        answer = await self._deliver(delivery, first=push.number)
        if answer // 100 != 2:
            raise RuntimeError(f"push {push.number} was refused: {answer}")
        self._pushes.append((own, revision, push))
        if push.again_after is not None:
            await asyncio.sleep(push.again_after)
            await self._deliver(delivery, first=push.number + 1)
            self.repeated += 1
        return revision

    async def _malform(self, malformed: Malformed) -> None:
        await asyncio.sleep(malformed.at)
        repository = GitRepository(self._root, OWNER, "proof-0")
        manifest = {".estafette.yaml": f"stages: {{build: {{image: 'busybox:{malformed.number}'}}}}\n"}
        revision = await self._commit(repository, manifest, "Malformed", branch=f"malformed-{malformed.number}")
        good = push_delivery(SAMPLE, repository, revision=revision, secret=self._secret)
        answer = await self._deliver(_spoil(good, malformed.fault, self._secret), first=malformed.number)
        if answer // 100 != 4:
            raise RuntimeError(f"a malformed delivery ({malformed.fault}) was answered with {answer}")
        self._refused.append((repository.name, revision))

    async def _commit(
        self, repository: GitRepository, files: dict[str, str], message: str, branch: str = "main"
    ) -> str:
        async with self._committing.setdefault(repository.name, asyncio.Lock()):
            return await asyncio.to_thread(repository.commit, files, message=message, branch=branch)

    async def _deliver(self, delivery: Delivery, *, first: int) -> int:
        """Send to one replica after the other until one takes or refuses it; returns the answer."""
        for attempt in count(first):
            self.tries += 1
            try:
                async with asyncio.timeout(PATIENCE):
                    ingress = self._ingresses[attempt % len(self._ingresses)]
                    status = await self._person.deliver(delivery, ingress=ingress)
            except (aiohttp.ClientError, TimeoutError):
                status = 0
            if 200 <= status < 500:
                return status
            await asyncio.sleep(AGAIN_AFTER)
        raise AssertionError

    async def _poison_at(self, bus: Client, id: str, at: float) -> None:
        await asyncio.sleep(at)
        headers = {"ce-id": id, "ce-source": "proof", "ce-type": "estafette.git.pushed.v1", "Nats-Msg-Id": id}
        while True:
            try:
                await bus.jetstream().publish("event.git.push", b"no JSON at all", headers=headers)
            except (nats.errors.Error, TimeoutError, OSError):
                await asyncio.sleep(AGAIN_AFTER)
            else:
                break
        self._poison.append(id)


def _spoil(good: Delivery, fault: str, secret: str) -> Delivery:
    """Return a delivery with one thing about it that no forge does."""
    match fault:
        case "signature":
            return dataclasses.replace(good, headers={**good.headers, "X-Hub-Signature-256": f"sha256={'0' * 64}"})
        case "truncated":
            return signed(good.body[: len(good.body) // 2], event="push", secret=secret)
        case "unsigned":
            headers = {name: value for name, value in good.headers.items() if name != "X-Hub-Signature-256"}
            return dataclasses.replace(good, headers=headers)
        case _:
            headers = {name: value for name, value in good.headers.items() if name != "X-GitHub-Event"}
            return dataclasses.replace(good, headers=headers)

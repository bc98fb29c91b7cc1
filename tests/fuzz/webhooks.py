"""Sends webhooks that were tampered with to a real webhook-ingress on a real NATS, and judges every answer.

`make hostile` sends 100,000, `make hostile-quick` as many as fit in a minute with the rest. Seeded: `--seed` and the
number of an attack make it again (`--only`). It fails on an answer of 500 or more, on none where one is due, on a
webhook taken that was not signed, on a refusal without a reason, on one that was taken and is not stored or cannot be
understood, on anything that the service logs as an error, on its end, and on memory that grows.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import unquote

import aiohttp
import nats
from estafette_common.bus.delivery import Origin
from estafette_common.bus.messages.events import GithubEvent, GitPushed
from estafette_common.bus.subjects import stream_of
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually
from manifest_planner import moving, trigger_events
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from tests.fuzz import attacks
from tests.fuzz.attacks import Attack, Sample
from tests.fuzz.client import Answer, Client

SAMPLES = Path(__file__).parents[2] / "deploy/local/forge/node_modules/@octokit/webhooks-examples/api.github.com"

SECRET = b"it's a secret to everybody"

CONNECTIONS = 24

LINGERING = 300
"""Connections that send half a request at the beginning and never the rest."""

WARM_AFTER = 0.25
"""Part of the attacks after which memory must not grow any more."""

MOST_GROWTH = 24 * 1024
"""KiB of resident memory. Arenas of the allocator move by some MiB with the largest bodies in flight."""

SHOWN_OF_LOG = 2_000
"""Characters."""

EXPECTED_IN_LOG = ('"event":"buried"', '"event":"message ids were taken by other subjects"')
"""Errors that are right: pushes whose commits are none, and ids that several attacks have in common."""


@dataclass
class Judged:
    """What was seen so far."""

    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    """Statuses by kind of attack; `-` stands for none."""
    violations: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    """Deliveries that were answered with 2xx."""
    letters: int = 0
    """Dead letters: pushes whose commits turned out to be none, and that say so."""
    memory: list[int] = field(default_factory=list)
    """KiB of resident memory, now and then."""

    def add(self, number: int, attack: Attack, answer: Answer | None) -> None:
        """Judge an answer."""
        self.statuses.setdefault(attack.kind, Counter())[str(answer[0]) if answer else "-"] += 1
        if wrong := violation(attack, answer):
            self.violations.append(f"#{number} {attack.kind}: {wrong}")
        if answer and answer[0] < 300 and attack.delivery:
            self.taken.add(json.loads(answer[1])["delivery"])  # what was sent may have been garbled on its way


def violation(attack: Attack, answer: Answer | None) -> str:
    """Return what is wrong with an answer; nothing where it is right."""
    if answer is None:
        return "no answer" if attack.answer_due else ""
    status, body = answer
    if status >= 500:
        return f"answered with {status}: {body[:200]!r}"
    if status < 300 and not attack.genuine:
        return f"taken with {status}, without a signature for it"
    if attack.must_be_taken and status != 200:
        return f"genuine, and refused with {status}: {body[:200]!r}"
    if status >= 400 and not reason_of(body):
        return f"refused with {status} and no reason: {body[:200]!r}"
    return ""


def reason_of(body: bytes) -> str:
    """Return why a request was refused: the message of our JSON, or what the HTTP server itself says."""
    with suppress(ValueError, TypeError, KeyError):
        return str(json.loads(body)["message"])
    return body.decode(errors="replace").strip()


async def send_all(
    port: int, wanted: Sequence[int], samples: Sequence[Sample], seed: int, judged: Judged, pid: int
) -> None:
    """Send attacks over some connections at once, each judged as soon as it is answered."""
    numbers = iter(wanted)
    sent = count(1)
    every = max(1, len(wanted) // 20)

    async def attacker() -> None:
        client = Client(port)
        for number in numbers:
            attack = attacks.make(number, seed=seed, samples=samples, secret=SECRET)
            judged.add(number, attack, await client.send(attack))
            done = next(sent)
            if done % every == 0 and done >= WARM_AFTER * len(wanted):
                judged.memory.append(resident(pid))
        await client.close()

    await asyncio.gather(*(attacker() for _ in range(CONNECTIONS)))


def resident(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@contextmanager
def ingress(nats_url: str, folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", int, Path]]:
    """Run webhook-ingress; gives its process, its port and the file with what it logs of errors."""
    port, log = free_port(), folder / "ingress.log"
    environment = {
        **os.environ,
        "ESTAFETTE_NATS_URL": nats_url,
        "ESTAFETTE_HOST": "127.0.0.1",
        "ESTAFETTE_PORT": str(port),
        "ESTAFETTE_GITHUB_WEBHOOK_SECRET": SECRET.decode(),
        "ESTAFETTE_BODY_LIMIT": str(attacks.BODY_LIMIT),
        "ESTAFETTE_LOG_LEVEL": "error",
    }
    with log.open("wb") as output:
        command = [sys.executable, "-P", "-m", "webhook_ingress"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield process, port, log
        finally:
            process.terminate()
            process.wait(timeout=30)


async def stored(nats_url: str, judged: Judged) -> None:
    """Judge what is stored: all that was taken, fit for its readers; dead letters say what is wrong with them."""
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    try:

        async def translated() -> bool:
            info = await jetstream.consumer_info("EVENTS", "ingress-github-push")
            return not info.num_pending and not info.num_ack_pending

        await eventually(translated, within=300)
        kept: set[str] = set()
        async for message in everything(jetstream, "event.>"):
            kept.add(kept_id(message))
            if wrong := not_understood(message):
                judged.violations.append(f"{kept_id(message)} was taken, and {wrong}")
        async for letter in everything(jetstream, "dead.>"):
            judged.letters += 1
            reason = (letter.headers or {}).get(Origin.REASON, "")
            if not reason.startswith("NotUnderstoodError: not a push payload: "):
                judged.violations.append(f"{kept_id(letter)} was taken, and became a dead letter: {reason}")
        if lost := judged.taken - kept:
            judged.violations.append(f"{len(lost)} were taken and are not stored: {sorted(lost)[:5]}")
    finally:
        await client.close()


async def everything(jetstream: JetStreamContext, subject: str) -> AsyncIterator[Msg]:
    """Yield all messages of a stream, oldest first."""
    stream = stream_of(subject)
    left = (await jetstream.stream_info(stream)).state.messages
    reader = await jetstream.subscribe(subject, stream=stream, ordered_consumer=True)
    while left:
        message = await reader.next_msg(timeout=30)
        left = message.metadata.num_pending
        yield message


def kept_id(message: Msg) -> str:
    """Return the id of a stored message."""
    return unquote((message.headers or {}).get("ce-id", ""))


def not_understood(message: Msg) -> str:
    """Return what the readers of a message stumble over; nothing where they do not."""
    try:
        if message.subject == "event.git.push":
            GitPushed.decode(message.data, {})
        else:
            told = GithubEvent.decode(message.data, message.headers or {})
            if not told.dataref:
                trigger_events.of_github(told, told.payload, delivery="d")
                moving.of_github(told.payload)
    except Exception as error:  # noqa: BLE001  whatever it is, a reader would raise it
        return f"its readers stumble: {error!r}"
    return ""


async def run(folder: Path, server: NatsServer, wanted: Sequence[int], seed: int) -> Judged:
    """Attack, and judge."""
    index = json.loads((SAMPLES / "index.json").read_text())
    samples = [(event["name"], example) for event in index for example in event["examples"]]
    judged = Judged()
    with ingress(server.url, folder) as (process, port, log):

        async def ready() -> bool:
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readiness") as answer:
                return answer.status == 200

        await eventually(ready, within=120)
        lingering = [await asyncio.open_connection("127.0.0.1", port) for _ in range(LINGERING)]
        for _, writer in lingering:
            writer.write(b"POST /api/integrations/github/events HTTP/1.1\r\nContent-Le")
        await send_all(port, wanted, samples, seed, judged, process.pid)
        await stored(server.url, judged)
        for _, writer in lingering:
            writer.close()
        if process.poll() is not None:
            judged.violations.append(f"webhook-ingress ended with {process.returncode}")
        elif not await ready():
            judged.violations.append("webhook-ingress is not ready any more")
        logged = log.read_text(errors="replace").splitlines()
        if errors := [line for line in logged if not any(each in line for each in EXPECTED_IN_LOG)]:
            shown = "\n".join(errors)[-SHOWN_OF_LOG:]
            judged.violations.append(f"{len(errors)} lines of errors were logged, at the end:\n{shown}")
    if judged.memory and (grown := judged.memory[-1] - judged.memory[0]) > MOST_GROWTH:
        judged.violations.append(f"memory grew by {grown} KiB after the first {WARM_AFTER:.0%}")
    return judged


def report(judged: Judged, seed: int, seconds: float) -> None:
    """Print what was sent and answered."""
    statuses = sorted({status for kind in judged.statuses.values() for status in kind})
    print(f"| webhooks (seed {seed}) | sent | {' | '.join(statuses)} |\n|---|---|{'---|' * len(statuses)}")
    for kind, found in [*judged.statuses.items(), ("all", sum(judged.statuses.values(), Counter()))]:
        print(f"| {kind} | {found.total():,} | {' | '.join(f'{found[each]:,}' for each in statuses)} |")
    total = sum(found.total() for found in judged.statuses.values())
    print(
        f"\n{total:,} in {seconds:.0f} s, {total / seconds:,.0f}/s; {len(judged.taken):,} deliveries taken and stored,"
    )
    print(f"{judged.letters:,} of them dead letters, for a commit of the push is none.")
    if judged.memory:
        first, *_, last = [*judged.memory, judged.memory[-1]]
        print(f"Resident memory after the first {WARM_AFTER:.0%}: {first:,} KiB, at the end {last:,}.")
    for line in judged.violations[:20]:
        print(f"VIOLATION {line}")
    print(f"{len(judged.violations)} violations\n")


def main() -> None:
    """Attack, print the table, fail on a violation."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of attacks")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="estafette-hostile-"))
    server = NatsServer(folder / "nats")
    server.start()
    began = time.monotonic()
    try:
        judged = asyncio.run(run(folder, server, options.only or range(options.count), options.seed))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report(judged, options.seed, time.monotonic() - began)
    if judged.violations:
        sys.exit(1)


if __name__ == "__main__":
    main()

"""How many webhooks one process of webhook-ingress takes, beside a bare aiohttp server in the same run.

`make bench-ingress`. A 25 KB GitHub push, signed; each answer waits for JetStream's PubAck of the payload. The same
process tells the normalised push behind the answer, as far as it comes to that; how far is printed. Between the two
stand handlers that do only what cannot be left out: check the signature, see that the body is JSON, publish it
compressed and wait; one without, one with a second message. wrk, the servers and nats-server share the machine, so
trust the ratio, not the absolute numbers. Needs wrk (`apt-get install wrk`).
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import aiohttp
from estafette_local.servers import NatsServer, free_port
from estafette_local.waiting import eventually
from nats import connect

SECRET = "bench"
WORDS = [
    "address",
    "basket",
    "border",
    "carton",
    "check",
    "customs",
    "delivery",
    "depot",
    "fetch",
    "label",
    "lane",
    "parcel",
    "pickup",
    "price",
    "receipt",
    "refund",
    "return",
    "route",
    "scan",
    "seller",
    "shelf",
    "stamp",
    "stock",
    "tariff",
    "ticket",
    "track",
    "truck",
    "voucher",
    "weight",
    "window",
]
PATH = "/api/integrations/github/events"
CONNECTIONS = (32, 128)
DRAINING = 5.0
"""Seconds over which is measured how fast the backlog of translations shrinks."""

TARGET = 0.28
"""Requests of the ingress for each of the bare server."""

BARE, LEAST_ONE, LEAST_TWO, INGRESS = SERVERS = (
    "bare aiohttp",
    "the least, one message",
    "the least, two messages",
    "webhook-ingress",
)

ECHO = """
import asyncio, sys, uvloop
from aiohttp import web
async def echo(request):
    return web.Response(body=await request.read())
app = web.Application(handler_args={"access_log": None})
app.add_routes([web.post("/{path:.*}", echo), web.get("/readiness", echo)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())
"""

LEAST = """
import asyncio, hmac, sys, msgspec, nats, uvloop, zstandard
from aiohttp import web
port, url, secret, messages = int(sys.argv[1]), sys.argv[2], sys.argv[3].encode(), int(sys.argv[4])
any_json, small = msgspec.json.Decoder(dict[str, msgspec.Raw]), b"x" * 300
compress = zstandard.ZstdCompressor(level=1).compress
async def receive(request):
    body = await request.read()
    signature = "sha256=" + hmac.digest(secret, body, "sha256").hex()
    if not hmac.compare_digest(signature, request.headers["X-Hub-Signature-256"]):
        raise web.HTTPUnauthorized
    any_json.decode(body)
    delivery, publish = request.headers["X-GitHub-Delivery"], request.app["jetstream"].publish_async
    waiting = [await publish(f"least{messages}.raw", compress(body), headers={"Nats-Msg-Id": delivery})]
    if messages == 2:
        waiting.append(await publish(f"least{messages}.push", small, headers={"Nats-Msg-Id": delivery + "/push"}))
    for each in waiting:
        await each
    return web.Response()
async def connected(app):
    client = await nats.connect(url)
    app["jetstream"] = client.jetstream(publish_async_max_pending=100_000)
    await app["jetstream"].add_stream(name=f"LEAST{messages}", subjects=[f"least{messages}.>"])
    yield
    await client.close()
async def ready(request):
    return web.Response()
app = web.Application(handler_args={"access_log": None})
app.cleanup_ctx.append(connected)
app.add_routes([web.post("/{path:.*}", receive), web.get("/readiness", ready)])
web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, loop=uvloop.new_event_loop())
"""

WRK = """
local counter, thread = 0, 0
function setup(t) t:set("id", thread); thread = thread + 1 end
function request()
  counter = counter + 1
  wrk.headers["X-GitHub-Delivery"] = "{run}-" .. id .. "-" .. counter
  return wrk.format("POST", nil, wrk.headers, body)
end
function init()
  local file = io.open("{body}", "rb"); body = file:read("*a"); file:close()
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["X-GitHub-Event"] = "push"
  wrk.headers["X-Hub-Signature-256"] = "{signature}"
end
"""


@dataclass(frozen=True)
class Result:
    """One run of wrk; latencies in ms."""

    rate: float
    p50: float
    p99: float
    errors: int


def push_payload(size: int = 25_000) -> bytes:
    """Return a push payload of about `size` bytes, shaped like GitHub's."""
    random = Random(1)

    def sha() -> str:
        return f"{random.getrandbits(160):040x}"

    def commit(number: int) -> dict[str, object]:
        revision, words = sha(), random.choices(WORDS, k=12)
        return {
            "id": revision,
            "tree_id": sha(),
            "distinct": True,
            "message": f"{' '.join(words[:6]).capitalize()}\n\n{' '.join(words[6:]).capitalize()}.",
            "timestamp": f"2026-11-20T12:{number % 60:02d}:{random.randrange(60):02d}+01:00",
            "url": f"https://github.com/acme/shop/commit/{revision}",
            "author": {"name": "Robin", "email": "robin@example.com", "username": "robin"},
            "committer": {"name": "GitHub", "email": "noreply@github.com", "username": "web-flow"},
            "added": [f"src/{'/'.join(random.choices(WORDS, k=2))}.py"],
            "removed": [],
            "modified": ["README.md", f"src/{random.choice(WORDS)}/__init__.py"],
        }

    payload = {
        "ref": "refs/heads/main",
        "before": "1" * 40,
        "after": "4" * 40,
        "deleted": False,
        "repository": {"id": 1, "name": "shop", "full_name": "acme/shop", "owner": {"login": "acme", "id": 2}},
        "pusher": {"name": "robin", "email": "robin@example.com"},
        "installation": {"id": 7},
    }
    commits: list[dict[str, object]] = []
    while len(json.dumps(payload | {"commits": commits})) < size:
        commits.append(commit(len(commits)))
    return json.dumps(payload | {"commits": commits}).encode()


@contextmanager
def running(*command: str, environment: dict[str, str] | None = None) -> Iterator[None]:
    """Run a process for as long as the block."""
    process = subprocess.Popen(
        [sys.executable, *command], env={**os.environ, **(environment or {})}, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


async def answers(url: str) -> bool:
    """Return whether the server at the URL is ready."""
    async with aiohttp.ClientSession() as session, session.get(url + "/readiness") as response:
        return response.status == 200


def load(url: str, script: Path, *, connections: int, seconds: int) -> Result:
    """Run wrk once."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url + PATH]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return Result(
        rate=float(_found(r"Requests/sec:\s+([\d.]+)", output)[0]),
        p50=_milliseconds(output, "50%"),
        p99=_milliseconds(output, "99%"),
        errors=int(failed[1]) if failed else 0,
    )


def _milliseconds(output: str, percentile: str) -> float:
    value, unit = _found(percentile + r"\s+([\d.]+)(us|ms|s)", output)
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def _found(pattern: str, output: str) -> tuple[str, ...]:
    found = re.search(pattern, output)
    if found is None:
        sys.exit(f"wrk printed something else than expected:\n{output}")
    return found.groups()


def main() -> None:
    """Measure, print the table, and say whether the target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    folder = Path(tempfile.mkdtemp(prefix="estafette-bench-"))
    nats = NatsServer(folder / "nats")
    nats.start()
    try:
        measured = measure(folder, nats, rounds=options.rounds, seconds=options.seconds)
    finally:
        nats.stop()
        shutil.rmtree(folder)
    report(measured)


def measure(folder: Path, nats: NatsServer, *, rounds: int, seconds: int) -> dict[tuple[str, int], list[Result]]:
    """Return the results by server and number of connections, the servers taken in turns."""
    body = push_payload()
    (folder / "body").write_bytes(body)
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    ports = {name: free_port() for name in SERVERS}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    environment = {
        "ESTAFETTE_NATS_URL": nats.url,
        "ESTAFETTE_PORT": str(ports[INGRESS]),
        "ESTAFETTE_GITHUB_WEBHOOK_SECRET": SECRET,
        "ESTAFETTE_LOG_LEVEL": "warning",
    }
    results: dict[tuple[str, int], list[Result]] = {}
    with ExitStack() as servers:
        servers.enter_context(running("-c", ECHO, str(ports[BARE])))
        for messages, name in ((1, LEAST_ONE), (2, LEAST_TWO)):
            servers.enter_context(running("-c", LEAST, str(ports[name]), nats.url, SECRET, str(messages)))
        servers.enter_context(running("-m", "webhook_ingress", environment=environment))
        for url in urls.values():
            asyncio.run(eventually(partial(answers, url), within=30))
        for turn in range(rounds):
            for connections in CONNECTIONS:
                for name, url in urls.items():
                    script = folder / "script.lua"
                    replaced = {
                        "{run}": f"{turn}-{connections}",
                        "{body}": str(folder / "body"),
                        "{signature}": signature,
                    }
                    text = WRK
                    for mark, value in replaced.items():
                        text = text.replace(mark, value)
                    script.write_text(text)
                    result = load(url, script, connections=connections, seconds=seconds)
                    results.setdefault((name, connections), []).append(result)
        print(asyncio.run(translating(nats.url)), end="\n\n")
    return results


async def translating(url: str) -> str:
    """Return how far the ingress is with telling pushes in our words, now that it has nothing else to do."""
    client = await connect(url)
    jetstream = client.jetstream()

    async def waiting() -> int:
        return (await jetstream.consumer_info("EVENTS", "ingress-github-push")).num_pending or 0

    accepted = (await jetstream.stream_info("EVENTS", subjects_filter="event.github.push")).state.subjects or {}
    before = await waiting()
    await asyncio.sleep(DRAINING)
    rate = (before - await waiting()) / DRAINING
    await client.close()
    total = sum(accepted.values())
    return f"Of {total:,} pushes {total - before:,} were translated under the load; then {rate:,.0f} a second."


def report(results: dict[tuple[str, int], list[Result]]) -> None:
    """Print medians over the rounds, and ratios taken round by round."""
    print("| server | connections | req/s | p50 ms | p99 ms | errors | x bare aiohttp |")
    print("|---|---|---|---|---|---|---|")
    for connections in CONNECTIONS:
        bare = results[BARE, connections]
        for name in SERVERS:
            runs = results[name, connections]
            ratio = statistics.median(run.rate / base.rate for run, base in zip(runs, bare, strict=True))
            rate, p50, p99 = (statistics.median(getattr(run, part) for run in runs) for part in ("rate", "p50", "p99"))
            errors = sum(run.errors for run in runs)
            print(f"| {name} | {connections} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | {errors} | {ratio:.2f} |")
    print(f"\nTarget: at least {TARGET} x bare aiohttp.")


if __name__ == "__main__":
    main()

"""A push becomes a build: from the signed request to the page, over real NATS, PostgreSQL, git and Docker."""

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import nats
import pytest
from estafette_common.bus.messages.logs import LogChunk
from estafette_common.manifest import secrets
from estafette_local.environment import kept_secret_key
from estafette_local.forge import FakeForge
from estafette_local.people import Delivery, GitRepository, Person, build_path
from estafette_local.stack import Stack
from estafette_local.waiting import eventually
from playwright.async_api import Browser, async_playwright

Push = Callable[..., tuple[str, Delivery]]

MANIFEST = """\
labels:
  app: shop
version:
  semver:
    major: 1
    minor: 2
stages:
  count:
    image: busybox:latest
    commands:
    - seq 1 300
  test:
    image: busybox:latest
    commands:
    - cat README
    - for n in 1 2 3; do echo "step $n"; sleep 0.2; done
    - echo "version ${ESTAFETTE_BUILD_VERSION}"
"""


async def the_build(person: Person, repository: GitRepository) -> dict[str, Any]:
    """Return the only build of a repository once it is there."""
    found: list[dict[str, Any]] = await eventually(lambda: person.builds(repository), within=20)
    assert len(found) == 1
    return found[0]


async def ended(person: Person, repository: GitRepository, *, within: float = 60) -> dict[str, Any]:
    """Return the only build of a repository once it ended."""

    async def look() -> dict[str, Any] | None:
        [build] = await person.builds(repository)
        return build if build["buildStatus"] in {"succeeded", "failed", "canceled"} else None

    found: dict[str, Any] | None = await eventually(look, within=within)
    assert found is not None
    return found


def lines(told: list[Any], stage: str) -> list[str]:
    """Return the text of a stage's lines, having checked that each came once and in order."""
    found = [each.data["logLine"] for each in told if each.data["step"] == stage and "logLine" in each.data]
    assert [line["line"] for line in found] == list(range(1, len(found) + 1))
    return [line["text"].rstrip("\n") for line in found]


async def test_a_push_becomes_a_build_with_its_whole_log_and_a_commit_status(
    stack: Stack, person: Person, repository: GitRepository, forge: FakeForge, push: Push
) -> None:
    revision, delivery = push({".estafette.yaml": MANIFEST, "README": "the shop\n"})

    assert await person.deliver(delivery) == 200
    build = await the_build(person, repository)
    told = [each async for each in person.watch(build) if each.event == "log"]

    assert lines(told, "count")[1:] == [str(number) for number in range(1, 301)]
    assert [line for line in lines(told, "test") if not line.startswith("\x1b")] == [
        "the shop",
        "step 1",
        "step 2",
        "step 3",
        "version 1.2.1",
    ]
    build = await ended(person, repository)
    assert (build["buildStatus"], build["buildVersion"], build["repoRevision"]) == ("succeeded", "1.2.1", revision)
    assert build["labels"] == [{"key": "app", "value": "shop"}]
    stored = await eventually(lambda: _complete(person, build))
    assert [step["step"] for step in stored["steps"]] == ["builder-info", "git-clone", "count", "test"]
    assert [line["text"] for line in stored["steps"][2]["logLines"]][1:] == [f"{n}\n" for n in range(1, 301)]
    await eventually(lambda: forge.states(revision) == ["pending", "success"])
    assert forge.statuses[-1]["target_url"] == f"{stack.url('web')}{build_path(build).removeprefix('/api')}"


async def _complete(person: Person, build: dict[str, Any]) -> dict[str, Any] | None:
    log: dict[str, Any] = await person.get(f"{build_path(build)}/logs")
    return log if log["steps"] and log["steps"][-1]["status"] == "SUCCEEDED" and len(log["steps"]) == 4 else None


async def test_a_delivery_sent_five_times_gives_one_build_and_one_number(
    stack: Stack, person: Person, repository: GitRepository, forge: FakeForge, push: Push
) -> None:
    revision, delivery = push({".estafette.yaml": MANIFEST, "README": "the shop\n"})
    other = stack.url("webhook-ingress", 1)

    answers = [*await asyncio.gather(person.deliver(delivery), person.deliver(delivery, ingress=other))]
    build = await the_build(person, repository)
    answers.append(await person.deliver(delivery, ingress=other))
    build = await ended(person, repository)
    answers += [await person.deliver(delivery), await person.deliver(delivery, ingress=other)]
    _, next_delivery = push({".estafette.yaml": MANIFEST, "README": "again\n"})
    await person.deliver(next_delivery)
    await eventually(lambda: _count(person, repository, 2))

    assert answers == [200] * 5
    builds = await person.builds(repository)
    assert [each["buildVersion"] for each in builds] == ["1.2.2", "1.2.1"]
    assert builds[1]["id"] == build["id"]
    await eventually(lambda: forge.states(revision) == ["pending", "success"])


async def _count(person: Person, repository: GitRepository, count: int) -> bool:
    return len(await person.builds(repository)) == count


async def test_a_secret_that_is_printed_shows_nowhere(
    stack: Stack, person: Person, repository: GitRepository, push: Push
) -> None:
    key = base64.b64decode(kept_secret_key(stack.data))
    envelope = secrets.encrypt("correct-horse-battery", key=key)
    leak = f"    image: busybox:latest\n    env:\n      TOKEN: {envelope}\n    commands:\n    - echo $TOKEN\n"
    manifest = f"stages:\n  leak:\n{leak}"
    _, delivery = push({".estafette.yaml": manifest})

    await person.deliver(delivery)
    build = await the_build(person, repository)
    told = [each async for each in person.watch(build) if each.event == "log"]
    await ended(person, repository)

    assert "***" in lines(told, "leak")
    shown = await person.get(build_path(build))
    assert "estafette.secret" not in shown["manifest"]
    log = await eventually(lambda: person.get(f"{build_path(build)}/logs"))
    client = await nats.connect(stack.places.nats_url, user_credentials=stack.places.nats_credentials)
    raw = b"".join([body async for body in _log_bodies(client.jetstream(), build["id"])])
    database = await asyncpg.connect(stack.places.database_url)
    rows = await database.fetch("SELECT body FROM log_chunks WHERE job_id = $1", build["id"])
    await client.close()
    await database.close()
    assert rows
    everything = [repr(told), repr(log), raw.decode(), *(repr(LogChunk.decode(row["body"])) for row in rows)]
    assert not any("correct-horse" in text for text in everything)
    for file in (stack.data / "logs").iterdir():
        assert "correct-horse" not in file.read_text()


async def _log_bodies(jetstream: nats.js.JetStreamContext, build_id: str) -> AsyncIterator[bytes]:
    subscription = await jetstream.subscribe(f"log.build.{build_id}", ordered_consumer=True)
    while True:
        try:
            message = await subscription.next_msg(timeout=0.5)
        except (nats.errors.TimeoutError, TimeoutError):
            return
        yield repr(LogChunk.decode(message.data)).encode()


async def test_a_manifest_that_is_not_valid_is_a_failed_build_that_names_the_line(
    person: Person, repository: GitRepository, forge: FakeForge, push: Push
) -> None:
    revision, delivery = push({".estafette.yaml": "stages:\n  build:\n    comands: [make]\n"})

    await person.deliver(delivery)
    build = await ended(person, repository)
    told = [each async for each in person.watch(build) if each.event == "log"]

    assert (build["buildStatus"], build["outcome"]) == ("failed", "rejected")
    assert ".estafette.yaml:2:3: stages.build.image: missing" in lines(told, "validate-manifest")[0]
    await eventually(lambda: forge.states(revision) == ["pending", "error"])


async def test_a_push_without_a_manifest_is_no_build_and_the_reason_is_kept(
    stack: Stack, person: Person, repository: GitRepository, push: Push
) -> None:
    revision, delivery = push({"README": "nothing to build\n"})

    await person.deliver(delivery)

    database = await asyncpg.connect(stack.places.database_url)
    reason = await eventually(lambda: database.fetchval("SELECT reason FROM decisions WHERE revision = $1", revision))
    await database.close()
    assert reason == f"there is no .estafette.yaml at {revision}"
    assert await person.builds(repository) == []


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        await browser.close()


async def test_the_page_shows_the_log_while_it_is_written(
    stack: Stack, person: Person, repository: GitRepository, push: Push, browser: Browser
) -> None:
    manifest = (
        "stages:\n  wait:\n    image: busybox:latest\n    commands:\n    - echo first\n    - sleep 4\n    - echo last\n"
    )
    _, delivery = push({".estafette.yaml": manifest})
    page = await browser.new_page(viewport={"width": 1280, "height": 860})

    await person.deliver(delivery)
    await the_build(person, repository)
    await page.goto(f"{stack.url('web')}/pipelines")
    await page.get_by_text(repository.full_name).click()
    await page.get_by_test_id("build-row").locator("a").click()

    first = page.get_by_test_id("log-line").get_by_text("first", exact=True)
    await first.wait_for()
    await page.locator('[data-testid="build-status"][data-status="running"]').wait_for()
    assert await page.get_by_text("last", exact=True).count() == 0
    await page.get_by_test_id("log-line").get_by_text("last", exact=True).wait_for()
    await page.locator('[data-testid="build-status"][data-status="succeeded"]').wait_for()
    assert await page.locator('[data-stage="wait"]').get_attribute("data-status") == "SUCCEEDED"

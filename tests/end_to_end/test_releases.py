"""A build that succeeds is released by its trigger, and that release by another one's, up to what is live."""

from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from estafette_local.people import Delivery, GitRepository, Person
from estafette_local.stack import Stack
from estafette_local.waiting import eventually

Push = Callable[..., tuple[str, Delivery]]

MANIFEST = """\
version:
  semver: {major: 1, minor: 2}
stages:
  build:
    image: busybox:latest
    commands: [test -e README]
releases:
  staging:
    triggers:
    - pipeline: {name: self}
    stages:
      deploy:
        image: busybox:latest
        commands:
        - test ! -e README
        - test "${ESTAFETTE_RELEASE_NAME}" = staging
        - test "${ESTAFETTE_TRIGGER_PIPELINE_BUILD_VERSION}" = "${ESTAFETTE_BUILD_VERSION}"
  production:
    clone: true
    actions: [{name: stable}]
    triggers:
    - release: {name: self, target: staging}
      releases: {action: stable}
    stages:
      deploy:
        image: busybox:latest
        commands:
        - test -e README
        - test "${ESTAFETTE_RELEASE_ACTION}" = stable
"""


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(stack.places.database_url)
    yield connection
    await connection.close()


async def test_a_build_that_succeeds_is_released_from_target_to_target(
    database: asyncpg.Connection, person: Person, repository: GitRepository, push: Push
) -> None:
    _, delivery = push({".estafette.yaml": MANIFEST, "README": "the shop\n"})

    assert await person.deliver(delivery) == 200

    async def live() -> list[tuple[str, str, str]]:
        rows = await database.fetch(
            "SELECT target, action, version FROM release_targets WHERE name = $1 ORDER BY released_at", repository.name
        )
        return [tuple(row) for row in rows] if len(rows) == 2 else []

    assert await eventually(live, within=60) == [("staging", "", "1.2.1"), ("production", "stable", "1.2.1")]
    releases = await database.fetch("SELECT status FROM releases WHERE name = $1", repository.name)
    assert [row["status"] for row in releases] == ["succeeded", "succeeded"]

"""An installation with many pipelines, each with a trigger of some kind and a build."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from estafette_common.bus.messages.events import GitPushed
from estafette_common.database.migrating import migrate
from estafette_common.database.pool import Database
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.reading import read
from estafette_local.servers import PostgresServer
from manifest_planner.builds import Builds, NewBuild
from manifest_planner.declared import declared
from manifest_planner.schedules import Schedules

SIZES = (100, 10_000)

KINDS = ("pipeline", "release", "git", "docker", "cron", "pubsub", "github", "bitbucket")

DAY = datetime(2026, 11, 20, tzinfo=UTC)
MINUTES = 1_440
ZONES = ("", "Europe/Amsterdam", "America/New_York", "Asia/Kolkata")
"""Of every second cron trigger; the others fire every Friday by UTC."""


def place(number: int) -> Repository:
    """Return a repository."""
    return Repository(source="github.com", owner="acme", name=f"service-{number}")


def kind(number: int) -> str:
    """Return what the trigger of a pipeline waits for."""
    return KINDS[number % len(KINDS)]


def minute(number: int) -> datetime:
    """Return the minute that the cron trigger of a pipeline waits for."""
    return DAY + timedelta(minutes=number // len(KINDS) % MINUTES)


def trigger(number: int) -> str:
    """Return the trigger of a pipeline."""
    other = place(number + 1).pipeline
    return {
        "pipeline": f"pipeline: {{name: {other}}}",
        "release": f"release: {{name: {other}, target: production}}",
        "git": f"git: {{repository: {other}}}",
        "docker": f"docker: {{image: acme/service-{number}, tag: '1.0.0', policy: force}}",
        "cron": f"cron: {{{schedule(number)}}}",
        "pubsub": f"pubsub: {{project: acme, topic: topic-{number}}}",
        "github": "github: {events: [issues]}",
        "bitbucket": "bitbucket: {events: ['issue:created']}",
    }[kind(number)]


def schedule(number: int) -> str:
    """Return the schedule of a pipeline's cron trigger: once a day in some time zone, or once a week."""
    turn = number // len(KINDS)
    if turn % 2:
        return f"schedule: '{minute(number).minute} {minute(number).hour} * * {DAY.isoweekday()}'"
    zone = ZONES[turn // 2 % len(ZONES)]
    wall = minute(number).astimezone(ZoneInfo(zone)) if zone else minute(number)
    return f"schedule: '{wall.minute} {wall.hour} * * *', timezone: '{zone}'"


def manifest(number: int) -> str:
    """Return the manifest of a pipeline: three stages, a release target, a trigger."""
    return f"""
labels: {{app: service-{number}, language: golang}}
version: {{semver: {{major: 1, minor: 2}}}}
env: {{CGO_ENABLED: '0'}}
triggers: [{{{trigger(number)}}}]
stages:
  restore: {{image: golang:1.22, commands: [go mod download]}}
  build: {{image: golang:1.22, commands: ['go test ./...', 'go build -o app .']}}
  publish: {{image: docker:24, commands: ['docker build -t app .', 'docker push app'], when: "branch == 'main'"}}
releases:
  production: {{stages: {{deploy: {{image: busybox:1, commands: [deploy]}}}}}}
"""


async def prepare(postgres: PostgresServer, size: int) -> Database:
    """Create the database of an installation with so many pipelines."""
    admin = Database(postgres.url("postgres"))
    await admin.start()
    await admin.pool.execute(f"CREATE DATABASE of_{size}")
    await admin.stop()
    await migrate(postgres.url(f"of_{size}"))
    database = Database(postgres.url(f"of_{size}"))
    await database.start()
    await fill(database, size)
    return database


async def fill(database: Database, size: int) -> None:
    """Add pipelines, each with a build."""
    builds = Builds(database)
    for number in range(size):
        text = manifest(number)
        push = GitPushed(repository=place(number), ref="refs/heads/main", revision=f"{number:040d}")
        new = NewBuild(
            id=str(number),
            push=push,
            branch="main",
            version=str,
            declared=declared(read(text), place(number).pipeline),
            manifest=text,
        )
        await builds.add(new)
    await Schedules(database).around(DAY)
    for settle in ("VACUUM (ANALYZE)", "CHECKPOINT"):  # else the server does so sooner or later, in the midst of it
        await database.pool.execute(settle)

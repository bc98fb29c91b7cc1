"""Manifests as people write them, run by the real builder in containers: a file each, with what becomes of it."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from estafette_common.bus.messages.jobs import JobCancel
from estafette_common.bus.messages.logs import Change, Entry, Line
from estafette_common.jobs.lifecycle import Kind, StageStatus
from estafette_common.jobs.stages import planned
from estafette_common.manifest import reading, secrets
from estafette_local.registry import Door, Shelf
from estafette_local.waiting import eventually
from nats.js import JetStreamContext

FILES = sorted((Path(__file__).parent / "manifests").glob("*.yaml"))

OWN = {"builder-info", "git-clone"}
"""Steps that every job has."""

Reached = tuple[str, StageStatus]


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """The second document of a file."""

    outcome: str
    plan: dict[str, Any] = {}
    """What the plan has besides the manifest."""
    registry: list[str] = []
    """Images in a registry with a password, which is `${registry}` in the manifest."""
    shut: bool = False
    """Whether layers of those images are held back until the job was canceled or stopped."""
    cancel: Reached | None = None
    """The job is canceled once a step has that status."""
    stop: Reached | None = None
    """The builder gets SIGTERM once a step has that status."""
    attempt: int = 1
    """Whose log the rest is about."""

    steps: dict[str, str] = {}
    """The last status of every step, those inside and beside a stage as `stage/step`; steps of every job if named."""
    exit: dict[str, int] = {}
    """By step: the code that it ended with."""
    prints: dict[str, list[str]] = {}
    """By step: its lines but echoes of commands; with `loose` the last of them."""
    loose: bool = False
    all: dict[str, list[str]] = {}
    """By step: its lines with echoes, without colours."""
    shows: dict[str, str] = {}
    """By step: what stands in one of its lines."""
    streams: dict[str, dict[str, list[str]]] = {}
    """By step and stream: its lines but echoes."""
    secrets: list[str] = []
    """What `${sealed:…}` in the manifest is made of."""
    hides: list[str] = []
    """What stands in no line of the job."""
    count: dict[str, int] = {}
    """By step: how many lines it has, echoes among them."""
    characters: dict[str, int] = {}
    """By step: how many characters all lines but echoes have."""


class Log:
    """What an attempt of a job told."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._changes = [entry for entry in entries if isinstance(entry, Change)]
        self._lines = [entry for entry in entries if isinstance(entry, Line)]

    def lines(self, step: str, *, echoes: bool = False, stream: str = "") -> list[str]:
        return [
            re.sub(r"\x1b\[[0-9;]*m", "", line.text)
            for line in self._lines
            if line.stage == step and stream in ("", line.stream) and (echoes or not line.text.startswith("\x1b[2m"))
        ]

    def steps(self) -> dict[str, str]:
        return {f"{each.parent}/{each.stage}".lstrip("/"): str(each.status) for each in self._changes}

    def exit_code(self, step: str) -> int:
        return [each.exit_code for each in self._changes if each.stage == step][-1]

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self._lines)


def files(*, with_registry: bool) -> list[Any]:
    chosen = [file for file in FILES if ("${registry}" in file.read_text()) == with_registry]
    return [pytest.param(file.read_text(), id=file.stem) for file in chosen]


@pytest.mark.parametrize("text", files(with_registry=False))
async def test_a_manifest_runs_as_it_should(docker_machine: Any, jetstream: JetStreamContext, text: str) -> None:
    manifest, expected = _read(text)

    await _run(docker_machine, jetstream, _plan(docker_machine, manifest, expected.plan), expected)


@pytest.mark.parametrize("text", files(with_registry=True))
async def test_a_manifest_with_images_of_a_private_registry_runs_as_it_should(
    docker_machine: Any, jetstream: JetStreamContext, shelf: Shelf, door: Door, text: str
) -> None:
    manifest, expected = _read(text)
    for name in expected.registry:
        await shelf.publish(name, f"the content of {name}")
    if not expected.shut:
        door.open.set()
    ours = {"credentials": [shelf.credential(docker_machine, repository=door.host)]}
    plan = _plan(docker_machine, manifest.replace("${registry}", door.host), ours | expected.plan)

    await _run(docker_machine, jetstream, plan, expected, door.open)


def _read(text: str) -> tuple[str, Expected]:
    manifest, _, document = text.partition("\n---\n")
    return manifest, msgspec.convert(yaml.safe_load(document), Expected)


async def _run(
    machine: Any,
    jetstream: JetStreamContext,
    plan: dict[str, Any],
    expected: Expected,
    then: asyncio.Event | None = None,
) -> None:
    """Run the job, do to it what is asked for, set `then`, and look at what became of it."""
    await machine.start(*plan.pop("stages"), **plan)
    if expected.cancel is not None:
        await eventually(partial(_reached, machine, expected.cancel), within=30)
        cancel = JobCancel(kind=Kind.BUILD, job_id=machine.job_id, reason="robin wants it")
        await jetstream.publish(cancel.subject, cancel.encode())
    if expected.stop is not None:
        await eventually(partial(_reached, machine, expected.stop), within=30)
        os.kill(machine.pid(), signal.SIGTERM)
    if then is not None:
        then.set()

    finished = await machine.finished(within=60)
    log = Log(await machine.entries(attempt=expected.attempt))
    assert (finished.outcome, finished.attempt) == (expected.outcome, expected.attempt), log.text[-2000:]
    for what, found, wanted in _told(expected, log):
        assert (what, found) == (what, wanted)


def _plan(machine: Any, manifest: str, more: dict[str, Any]) -> dict[str, Any]:
    sealed = re.sub(r"\$\{sealed:(.*?)\}", lambda found: secrets.encrypt(found[1], key=machine.key), manifest)
    read = reading.read(sealed)
    return {"stages": planned(read.stages, most_retries=3), "env": read.env, "labels": read.labels, **more}


def _told(expected: Expected, log: Log) -> Iterator[tuple[str, object, object]]:
    """Give what to look at, what is there, and what should be."""
    if expected.steps:
        left_out = OWN - expected.steps.keys()
        yield "steps", {name: status for name, status in log.steps().items() if name not in left_out}, expected.steps
    for step, lines in expected.prints.items():
        found = log.lines(step)
        yield f"lines of {step}", found[-len(lines) :] if expected.loose else found, lines
    for step, lines in expected.all.items():
        yield f"lines of {step}", log.lines(step, echoes=True), lines
    for step, streams in expected.streams.items():
        yield f"streams of {step}", {stream: log.lines(step, stream=stream) for stream in streams}, streams
    for step, text in expected.shows.items():
        yield f"{text!r} in {log.lines(step)}", text in "\n".join(log.lines(step)), True
    for step, code in expected.exit.items():
        yield f"exit code of {step}", log.exit_code(step), code
    for secret in expected.hides:
        yield "what is secret", secret in log.text, False
    yield from _sizes(expected, log)


def _sizes(expected: Expected, log: Log) -> Iterator[tuple[str, object, object]]:
    for step, count in expected.count.items():
        yield f"number of lines of {step}", len(log.lines(step, echoes=True)), count
    for step, characters in expected.characters.items():
        yield f"characters of {step}", sum(map(len, log.lines(step))), characters


async def _reached(machine: Any, reached: Reached) -> bool:
    step, status = reached
    changes = [entry for entry in await machine.entries() if isinstance(entry, Change)]
    return any(each.stage == step and each.status == status for each in changes)


def test_there_are_enough_manifests() -> None:
    assert len(FILES) >= 40

"""Cases about the order and the ends of stages: the real loop of the builder, with containers that follow a script."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from builder.masking import Masker
from builder.reporting import Reporter
from builder.running import Job
from builder.runtimes import Output, Say, StageError, StageRun, silent
from builder.shipping import Shipper
from builder.steps import Steps
from estafette_common.bus.messages.logs import Change, Image, LogChunk
from estafette_common.bus.messages.message import Encoded, Message
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan, PlannedService, PlannedStage, Probe, Repository, Version
from estafette_common.jobs.stages import planned
from estafette_common.manifest import reading

Case = Mapping[str, Any]

OPERATIONS = {"run"}

REPOSITORY = Repository(source="github.com", owner="acme", name="billing")


def run(case: Case) -> dict[str, Any]:
    """Return what becomes of the stages of a case, in the shape of what it expects."""
    return asyncio.run(_run(case))


async def _run(case: Case) -> dict[str, Any]:
    stages = tuple(_asked(stage) for stage in planned(reading.read(case["input"]["yaml"]).stages))
    plan = Plan(
        kind=Kind.BUILD,
        job_id="1",
        repository=REPOSITORY,
        branch=case["input"].get("env", {}).get("ESTAFETTE_GIT_BRANCH", "main"),
        revision="c0ffee",
        clone_url="https://github.com/acme/billing.git",
        version=Version(version="1.0.7", counter=7),
        stages=stages,
    )
    recorder, runtime = _Recorder(), _ScriptedRuntime(case["input"], stages)
    shipper = Shipper(recorder, plan, attempt=1, masker=Masker([]))
    job = Job(
        plan,
        workspace=Path("unused"),
        runtime=runtime,
        shipper=shipper,
        steps=Steps(shipper, Reporter(recorder, plan, attempt=1, masker=Masker([]))),
        masker=Masker([]),
        open_secrets=str,
    )
    runtime.job = job
    ended = await job.run(None)
    shipper.end(ended.outcome)
    await shipper.run()
    outcome = {
        "steps": recorder.steps(),
        "aggregated": ended.outcome.upper(),
        "envStatus": runtime.statuses[-1] if runtime.statuses else "",
        "started": list(runtime.started),
        "calls": [*runtime.calls, "stopmulti"],
    }
    return {key: value for key, value in outcome.items() if key in case["expect"]}


def _asked(stage: PlannedStage) -> PlannedStage:
    """Return a stage whose services are asked by a command, which the script answers."""
    return stage.model_copy(
        update={
            "services": tuple(_asked_service(service) for service in stage.services),
            "parallel_stages": tuple(_asked(inner) for inner in stage.parallel_stages),
        }
    )


def _asked_service(service: PlannedService) -> PlannedService:
    probe = service.readiness and Probe(command=("ask",), timeout=0.2)
    return service.model_copy(update={"readiness": probe})


class _Recorder:
    """Takes what is published, and knows how the steps ended."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, bool], str] = {}

    async def publish(self, message: Message | Encoded | LogChunk, *, id: str, after: int | None = None) -> None:
        assert isinstance(message, LogChunk)
        for entry in message.entries:
            if isinstance(entry, Change) and entry.stage != "builder-info":
                self._last[entry.parent, entry.stage, entry.service] = str(entry.status)

    def steps(self) -> list[Case]:
        """Return the steps at the top, each with what ran inside and beside it."""
        return [self._step(name, status) for (parent, name, _), status in self._last.items() if not parent]

    def _step(self, name: str, status: str) -> Case:
        held: dict[bool, list[Case]] = {False: [], True: []}
        for (parent, inner, service), inner_status in self._last.items():
            if parent == name:
                held[service].append({"step": inner, "status": inner_status})
        found = {"step": name, "status": status, "nested": held[False], "services": held[True]}
        return {key: value for key, value in found.items() if value}


class _ScriptedRuntime:
    """Runs nothing: everything ends as the case says, after as long as it says."""

    name = "scripted"
    note = ""
    job: Job

    def __init__(self, script: Case, stages: Sequence[PlannedStage]) -> None:
        self.outcomes: Mapping[str, str] = script["outcomes"]
        self.delays: Mapping[str, int] = script.get("delays", {})
        self.beside = {service.name: stage.name for stage in stages for service in stage.services}
        self.calls: list[str] = []
        self.started: list[str] = []
        self.statuses: list[str] = []

    async def prepare(self, stage: StageRun, say: Say = silent) -> "_ScriptedStage":
        if self.outcomes.get(stage.name) == "pullfail":
            raise StageError("the image could not be pulled")
        return _ScriptedStage(self, stage)

    async def close(self) -> None:
        """There is nothing to let go of."""


class _ScriptedStage(NamedTuple):
    runtime: _ScriptedRuntime
    stage: StageRun

    @property
    def image(self) -> Image:
        return Image(name=self.stage.image, tag="latest")

    @property
    def outcome(self) -> str:
        return self.runtime.outcomes.get(self.stage.name, "")

    async def run(self, output: Output) -> int:
        name, runtime = self.stage.name, self.runtime
        if self.stage.hostname:
            return await self._serve()
        status = self.stage.environment["ESTAFETTE_BUILD_STATUS"]
        runtime.calls.append(f"start:{name}:{status}")
        runtime.started.append(name)
        runtime.statuses.append(status)
        if self.outcome == "startfail":
            raise StageError("the container could not be started")
        await asyncio.sleep(runtime.delays.get(name, 0) / 1000)
        if self.outcome == "cancel":
            runtime.job.cancel("by the script")
            await asyncio.Event().wait()
        return 1 if self.outcome == "exit1" else 0

    async def _serve(self) -> int:
        """Run a service, until it is stopped unless it ends by itself."""
        name, runtime = self.stage.name, self.runtime
        runtime.calls.append(f"startsvc:{name}")
        if self.outcome == "exit1":
            await asyncio.sleep(0.01)
            return 1
        try:
            await asyncio.Event().wait()
        finally:
            runtime.calls.append(f"stopsingle:{runtime.beside[name]}")
        return 0

    async def address(self) -> str:
        raise StageError("a scripted stage has no address")

    async def execute(self, command: Sequence[str]) -> int:
        self.runtime.calls.append(f"probe:{self.stage.name}")
        return 1 if self.outcome == "notready" else 0

    def drop(self) -> None:
        """There is nothing to let go of."""

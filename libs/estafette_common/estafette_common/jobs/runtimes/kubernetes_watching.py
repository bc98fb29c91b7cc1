"""One watch over all Jobs and one over all their pods, and what follows from what they tell.

Nothing is kept of a Job that runs or has ended: memory goes with the number of those that wait.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from estafette_common.jobs.runtimes import Loss, NotYetError, Observer, RuntimeUnavailableError, Seen, Waiting
from estafette_common.jobs.runtimes.kubernetes_api import Api, ApiError, GoneError, Object
from estafette_common.jobs.runtimes.kubernetes_judging import (
    DELETED,
    FINE,
    Patience,
    Verdict,
    condition,
    judge_job,
    judge_pod,
)
from estafette_common.jobs.runtimes.kubernetes_objects import ATTEMPT_LABEL, JOB_ID_LABEL, KIND_LABEL

log = structlog.get_logger()

FOR_GOOD = frozenset({Loss.DELETED, Loss.EVICTED, Loss.OUT_OF_MEMORY, Loss.CRASHED, Loss.DEADLINE})
"""Losses that stay although their pod may be gone when it is looked for; the others are seen anew."""

JOB_OF_POD = "job-name"
"""Label by which Kubernetes names a pod's Job."""

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before each further try of a watch that broke; the last again and again."""

LASTED = 30.0
"""Seconds after which a watch counts as one that works."""

AGAIN_AFTER = 5.0
"""Seconds before what could not be told is told again."""

LOOKED_EVERY = 1.0
"""Seconds between two looks at what has to be seen to at some time."""

AT_ONCE = 8
"""Jobs that are seen to at once."""


@dataclass(slots=True)
class _Attempt:
    """What is to be told of an attempt, or was."""

    labels: dict[str, str]
    verdict: Verdict
    told: Waiting | None = None
    due: float | None = None
    """Time of the loop at which it has to be seen to; nothing: when it changes."""


class Watching:
    """Watches what one selector finds, and tells the observer."""

    def __init__(self, api: Api, selector: str, patience: Patience, observer: Observer) -> None:
        self._api = api
        self._selector = selector
        self._patience = patience
        self._observer = observer
        self._attempts: dict[str, _Attempt] = {}
        """Those that wait, or are to be seen to, by the name of their Job."""
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Watch for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow("pods", self._on_pod))
            group.create_task(self._follow("jobs", self._on_job))
            group.create_task(self._see_to_all())

    # --- what is told to us ---

    async def _follow(self, resource: str, take: Callable[[str, Object], None]) -> None:
        """Take everything of a resource, and then each change, for ever."""
        version, failures = "", 0
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                if not version:
                    version = await self._list(resource, take)
                async with aclosing(self._api.watch(resource, self._selector, version)) as events:
                    async for event in events:
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            take(event["type"], event["object"])
            except GoneError:
                log.info("watch begins anew", resource=resource)
                version = ""
            except (ApiError, RuntimeUnavailableError) as error:
                log.warning("watch broke", resource=resource, error=str(error))
            failures = 0 if clock() - began > LASTED else failures + 1
            if failures:  # a server may end watches at once, or say again and again that a version is gone
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES)) - 1])

    async def _list(self, resource: str, take: Callable[[str, Object], None]) -> str:
        """Take everything that there is, page after page; returns the version that a watch goes on from."""
        seen: set[str] = set()
        version = ""
        async for page in self._api.pages(resource, self._selector):
            version = page["metadata"]["resourceVersion"]
            for thing in page["items"]:
                take("ADDED", thing)
                seen.add(_job_of(resource, thing))
        if resource == "pods":
            for name in self._attempts.keys() - seen:  # what waited is there no more
                self._note(name, self._attempts[name].labels, DELETED)
        return version

    def _on_pod(self, event: str, pod: Object) -> None:
        name, labels = _job_of("pods", pod), pod["metadata"]["labels"]
        verdict = judge_pod(pod, patience=self._patience, now=datetime.now(UTC))
        if event == "DELETED" and pod["status"].get("phase") != "Succeeded" and not isinstance(verdict.state, Loss):
            verdict = DELETED
        self._note(name, labels, verdict)

    def _on_job(self, event: str, job: Object) -> None:
        metadata = job["metadata"]
        if event == "DELETED":
            self._attempts.pop(metadata["name"], None)
        elif condition(job, "Failed"):
            self._note(metadata["name"], metadata["labels"], Verdict(Loss.CRASHED))

    def _note(self, name: str, labels: dict[str, str], verdict: Verdict) -> None:
        """Note what an attempt is at. A loss stays one whatever another pod of the Job tells."""
        known = self._attempts.get(name)
        if known is None:
            if verdict == FINE:
                return
            known = self._attempts[name] = _Attempt(labels, verdict)
        elif isinstance(known.verdict.state, Loss):
            if not known.verdict.reason:
                known.verdict = verdict if isinstance(verdict.state, Loss) else known.verdict
        elif verdict == FINE:
            del self._attempts[name]
            return
        elif verdict.state is not known.verdict.state or verdict.look_again != known.verdict.look_again:
            known.verdict = verdict
        if isinstance(known.verdict.state, Loss) or known.verdict.state not in {known.told, None}:
            known.due = 0.0
            self._wake.set()
        elif known.verdict.look_again is not None:
            known.due = _in_loop_time(known.verdict.look_again)

    # --- what we tell ---

    async def _see_to_all(self) -> None:
        """See to attempts when it is time, for ever."""
        clock = asyncio.get_running_loop().time
        while True:
            now = clock()
            due = [name for name, each in self._attempts.items() if each.due is not None and each.due <= now]
            for first in range(0, len(due), AT_ONCE):
                await asyncio.gather(*(self._see_to(name) for name in due[first : first + AT_ONCE]))
            if not due:
                self._wake.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), timeout=LOOKED_EVERY)

    async def _see_to(self, name: str) -> None:
        attempt = self._attempts.get(name)
        if attempt is None:
            return
        verdict, attempt.due = attempt.verdict, None
        try:
            if isinstance(verdict.state, Waiting) and verdict.state is not attempt.told:
                await self._observer.waits(_seen(name, attempt.labels, verdict))
                attempt.told = verdict.state
                if verdict.look_again is not None:
                    attempt.due = _in_loop_time(verdict.look_again)
            else:
                await self._judge(name, attempt)
        except NotYetError as error:
            log.info("will be looked at again", job=name, reason=str(error))
            attempt.due = asyncio.get_running_loop().time() + AGAIN_AFTER
        except Exception as error:  # whatever it is, the other Jobs must not wait for it
            log.warning("will be told again", job=name, error=repr(error), exc_info=not _is_known(error))
            attempt.due = asyncio.get_running_loop().time() + AGAIN_AFTER

    async def _judge(self, name: str, attempt: _Attempt) -> None:
        """Look at the Job and its pods as they are now, and tell if it is lost."""
        job = await self._api.get("jobs", name)
        if job is None:
            self._attempts.pop(name, None)
            return
        pods = [pod async for page in self._api.pages("pods", f"{JOB_OF_POD}={name}") for pod in page["items"]]
        hint = attempt.verdict if attempt.verdict.state in FOR_GOOD and attempt.verdict.reason else FINE
        now = datetime.now(UTC)
        verdict = judge_job(job, pods, hint=hint, patience=self._patience, now=now)
        if isinstance(verdict.state, Loss):
            await self._observer.lost(_seen(name, attempt.labels, verdict))
        if isinstance(verdict.state, Waiting) or verdict.look_again is not None:
            attempt.verdict = verdict
            attempt.due = _in_loop_time(verdict.look_again) if verdict.look_again else None
        else:
            self._attempts.pop(name, None)


def _is_known(error: Exception) -> bool:
    return isinstance(error, ApiError | RuntimeUnavailableError)


def _job_of(resource: str, thing: Object) -> str:
    metadata = thing["metadata"]
    return str(metadata["name"] if resource == "jobs" else metadata["labels"].get(JOB_OF_POD, ""))


def _seen(name: str, labels: dict[str, str], verdict: Verdict) -> Seen:
    assert verdict.state is not None  # noqa: S101  only what waits or is lost is told
    return Seen(
        kind=labels.get(KIND_LABEL, ""),
        job_id=labels.get(JOB_ID_LABEL, ""),
        attempt=int(labels.get(ATTEMPT_LABEL, 1)),
        name=name,
        state=verdict.state,
        reason=verdict.reason,
    )


def _in_loop_time(time: datetime) -> float:
    return asyncio.get_running_loop().time() + (time - datetime.now(UTC)).total_seconds()

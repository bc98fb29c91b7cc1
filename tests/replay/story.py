"""What people, forges, clocks and builders do in the recorded stream. `scenes` says what happens; this is how."""

import json
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from estafette_common.bus import identity
from estafette_common.bus.messages.commands import Cancel
from estafette_common.bus.messages.events import GithubEvent
from estafette_common.bus.messages.jobs import (
    JobDispatched,
    JobFailedToStart,
    JobFinished,
    JobGone,
    JobHeartbeat,
    JobRequested,
    JobStarted,
)
from estafette_common.bus.messages.message import Encoded, Message
from estafette_common.jobs.lifecycle import Kind, Outcome
from estafette_common.jobs.plan import Repository
from webhook_ingress.pushes import translate

from tests.replay.recording import Commit, Window, tell
from tests.replay.repositories import Repositories

BEGIN = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)

NOBODY = "0" * 40

Samples = dict[str, list[dict[str, Any]]]
"""GitHub's own samples of payloads, by event."""

Scene = Callable[["Story"], Iterator[None]]


class Story:
    """Collects what happens in a window."""

    def __init__(self, samples: Samples, repositories: Repositories) -> None:
        self._samples = samples
        self._repositories = repositories
        self._numbers = count(1)
        self._window = Window()
        self._jobs: list[JobRequested] = []
        self._heard: set[str] = set()
        self._builds: dict[str, str] = {}
        self.now = BEGIN

    def windows(self, scenes: Iterable[Scene]) -> Iterator[Window]:
        """Yield one window after the other; play each and `hear` what it led to before the next."""
        going = [scene(self) for scene in scenes]
        while going:
            self.now += timedelta(minutes=10)
            going = [scene for scene in going if next(scene, self) is not self]
            window, self._window = self._window, Window()
            yield window

    def hear(self, requests: Iterable[JobRequested]) -> None:
        """Let a dispatcher and a builder take up, in the next window, the jobs that were requested."""
        for request in requests:
            if request.job_id in self._heard:
                continue
            self._heard.add(request.job_id)
            self._jobs.append(request)
            kind, job = request.kind, request.job_id
            self.tell(JobDispatched(kind=kind, job_id=job, runtime="local", name=f"{kind}-{job}"))
            self.tell(JobStarted(kind=kind, job_id=job, attempt=1, time=self.now))
            if len(self._heard) % 3 == 0:
                self.tell(JobHeartbeat(kind=kind, job_id=job, attempt=1, time=self.now))

    def tell(self, message: Message | Encoded, *, id: str = "") -> str:
        """Tell something; returns its id."""
        number = next(self._numbers)
        named = id or f"{message.TYPE.removeprefix('estafette.').removesuffix('.v1')}-{number}"
        self._window.told.append(tell(message, id=named, at=self.now + timedelta(milliseconds=number)))
        return named

    def push(
        self, name: str, manifest: str | None, *, branch: str = "main", message: str = "Change", raw: bool = False
    ) -> None:
        """Commit a manifest and tell of the push; the webhook itself too where it is told `raw`."""
        files = {"README.md": f"{name} {branch} {next(self._numbers)}\n"}
        if manifest is not None:
            files[".estafette.yaml"] = manifest
        revision = self._repositories.commit(name, files, branch=branch)
        self._window.commits.append(Commit(name=name, branch=branch, files=files, revision=revision))
        delivery = self.point(name, f"refs/heads/{branch}", revision, message=message, raw=raw)
        self._builds[name] = identity.job_id(place(name).pipeline, delivery)

    def point(self, name: str, ref: str, revision: str, *, message: str = "Change", raw: bool = False) -> str:
        """Tell where a branch or a tag points to now; nowhere: it was deleted. Returns the id of what was told."""
        number = next(self._numbers)
        sample = self._samples["push"][number % len(self._samples["push"])]
        payload = _of(sample, name)
        person = {"name": "Robin", "email": "robin@example.com", "username": "robin"}
        commit = {"id": revision, "message": message, "author": person, "committer": person}
        payload |= {"ref": ref, "after": revision, "deleted": revision == NOBODY, "commits": [commit]}
        body = json.dumps(payload).encode()
        delivery = f"delivery-{number}"
        if raw:
            self.tell(GithubEvent(kind="push", payload=body), id=delivery)
        return self.tell(translate(body), id=identity.derive(delivery, identity.GIT_PUSH))

    def github(self, name: str, event: str, number: int = 0) -> None:
        """Tell a webhook of GitHub, made of a sample of it."""
        samples = self._samples[event]
        payload = _of(samples[number % len(samples)], name)
        self.tell(GithubEvent(kind=event, payload=json.dumps(payload).encode()))

    def end(self, *names: str, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        """Let the oldest job of some pipelines end, if there is any."""
        job = self._take(names)
        if job is not None:
            self.tell(JobFinished(kind=job.kind, job_id=job.job_id, attempt=1, outcome=outcome, time=self.now))

    def cannot_start(self, *names: str) -> None:
        """Let no runtime take the oldest job of some pipelines."""
        job = self._take(names)
        if job is not None:
            self.tell(JobFailedToStart(kind=job.kind, job_id=job.job_id, reason="there is no such image"))

    def end_all(self, *names: str) -> Iterator[None]:
        """Let all jobs of some pipelines end, and those that these lead to, one in each window."""
        while any(job.plan.repository.name in names for job in self._jobs):
            self.end(*names)
            yield

    def cancel(self, name: str) -> None:
        """Ask to cancel the build that was pushed last."""
        self.tell(Cancel(kind=Kind.BUILD, job_id=self._builds[name], by="robin@example.com"))

    def gone(self, name: str) -> None:
        """Let the build that was pushed last be gone."""
        job_id = self._builds[name]
        self._jobs = [job for job in self._jobs if job.job_id != job_id]
        self.tell(JobGone(kind=Kind.BUILD, job_id=job_id, reason="its process has ended"))

    def still_lives(self, name: str) -> None:
        """Let the build that was pushed last say that it lives, and that it failed, whatever was told before."""
        build = {"kind": Kind.BUILD, "job_id": self._builds[name], "attempt": 1, "time": self.now}
        self.tell(JobHeartbeat.model_validate(build))
        self.tell(JobFinished.model_validate({**build, "outcome": Outcome.FAILED}))

    def _take(self, names: tuple[str, ...]) -> JobRequested | None:
        job = next((job for job in self._jobs if job.plan.repository.name in names), None)
        if job is not None:
            self._jobs.remove(job)
        return job


def place(name: str) -> Repository:
    """Return a repository of acme."""
    return Repository(source="github.com", owner="acme", name=name)


def _of(sample: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a sample as if it were of a repository of acme."""
    payload = deepcopy(sample)
    owner = payload["repository"]["owner"] | {"login": "acme", "name": "acme"}
    payload["repository"] |= {"name": name, "full_name": f"acme/{name}", "owner": owner}
    return payload

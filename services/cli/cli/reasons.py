"""Decisions for people. Pure: what the API tells in, lines out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


def of_revision(answer: Json, pipeline: str) -> Iterator[str]:
    """Yield what was decided about a revision, or that nothing was."""
    if not answer["items"]:
        yield f"nothing was decided about {answer['revision']} of {pipeline}: the server heard of no push of it"
    yield from decisions(answer["items"])


def of_delivery(answer: Json) -> Iterator[str]:
    """Yield what a delivery led to, or that it led to nothing."""
    if not answer["items"]:
        heard = answer["heard"]
        yield f"heard as {heard['subject']} at {heard['time']}; it was no push, and no trigger waited for it"
    yield from decisions(answer["items"])


def decisions(items: Sequence[Json]) -> Iterator[str]:
    """Yield each decision, and below it the job that it is about."""
    for item in items:
        where = "/".join(item[part] for part in ("repoSource", "repoOwner", "repoName"))
        revision = f" {item['repoRevision'][:8]}" if item["repoRevision"] else ""
        yield f"{item['decidedAt'][:19]}Z  {where}{revision}  {item['about']} {item['decision']}: {item['reason']}"
        if item["job"]:
            yield f"  {_job(item['job'])}"


def _job(job: Json) -> str:
    runs = f" {job['runs']}" if job["runs"] else ""
    action = f" {job['action']}" if job["action"] else ""
    version = f" {job['version']}" if job["version"] else ""
    outcome = f" ({job['outcome']})" if job["outcome"] and job["outcome"] != job["status"] else ""
    why = job["waitsFor"] if job["status"] == "pending" else job["reason"]
    said = f": {why}" if why else ""
    return f"{job['kind']}{runs}{action}{version} is {job['status']}{outcome}, id {job['id']}{said}"

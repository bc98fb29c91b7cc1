"""Rows as the JSON of the reference's API: camelCase names, durations in nanoseconds. Pure."""

from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from estafette_common.jobs.lifecycle import FINAL
from estafette_common.manifest.secrets import mask

from api.pipelines import Page
from api.queries import Query

NANOSECONDS = 1_000_000_000

MICROSECOND = 1_000
"""In nanoseconds."""

RECENT = timedelta(days=7)
"""How long the reference counts somebody as recent."""


def listing(page: Page, items: list[dict[str, Any]], query: Query) -> dict[str, Any]:
    """Return a page of a list."""
    pagination = {
        "page": query.page,
        "size": query.size,
        "totalPages": ceil(page.total / query.size),
        "totalItems": page.total,
    }
    return {"items": items, "pagination": pagination}


def build(row: Any, *, now: datetime) -> dict[str, Any]:
    """Return a build; the reference's fields, and `outcome`, `reason`, `waitsFor` and `attempt` beside them."""
    manifest = mask(row["manifest"])
    return {
        **_job(row, now),
        "repoBranch": row["branch"],
        "repoRevision": row["revision"],
        "buildVersion": row["version"],
        "buildStatus": row["status"],
        "labels": row["labels"],
        "releaseTargets": row["release_targets"],
        "manifest": manifest,
        "manifestWithDefaults": manifest,
        "commits": row["commits"],
        "triggers": row["triggers"],
    }


def release(row: Any, *, now: datetime) -> dict[str, Any]:
    """Return a release; the reference's fields, those that builds have beside them, and `buildID`."""
    return {
        **_job(row, now),
        "name": row["target"],
        "action": row["action"],
        "releaseVersion": row["version"],
        "releaseStatus": row["status"],
        "buildID": row["build_id"],
    }


def bot(row: Any, *, now: datetime) -> dict[str, Any]:
    """Return a run of a bot; the reference's fields, those that builds have beside them, and `buildID`."""
    return {**_job(row, now), "name": row["bot"], "botStatus": row["status"], "buildID": row["build_id"]}


def _job(row: Any, now: datetime) -> dict[str, Any]:
    return {
        "id": row["id"],
        "repoSource": row["source"],
        "repoOwner": row["owner"],
        "repoName": row["name"],
        "triggerEvents": row["trigger_events"],
        "insertedAt": _time(row["inserted_at"]),
        "startedAt": _time(row["started_at"]),
        "updatedAt": _time(row["updated_at"]),
        "duration": _duration(row, now),
        "pendingDuration": _pending(row, now),
        "groups": [],
        "organizations": [],
        "outcome": row["outcome"],
        "reason": row["reason"],
        "waitsFor": row["waits_for"],
        "attempt": row["attempt"],
    }


def pipeline(row: Any, *, now: datetime) -> dict[str, Any]:
    """Return a pipeline: its newest build, and what is true of all of them."""
    newest = build(row, now=now)
    return {
        **newest,
        "archived": row["archived"],
        "lastUpdatedAt": newest["updatedAt"],
        "recentCommitters": _recent(row["recent_committers"], now),
        "recentReleasers": _recent(row["recent_releasers"], now),
        "extraInfo": {
            "medianPendingDuration": (row["median_pending"] or 0) * MICROSECOND,
            "medianDuration": (row["median_duration"] or 0) * MICROSECOND,
        },
    }


def _recent(seen: list[dict[str, str]], now: datetime) -> list[str]:
    """Return the addresses of those who were there within the last week."""
    return [each["email"] for each in seen if datetime.fromisoformat(each["at"]) > now - RECENT]


def _duration(row: Any, now: datetime) -> int:
    if row["started_at"] is None:
        return 0
    end = row["finished_at"] or (row["updated_at"] if row["status"] in FINAL else now)
    return _nanoseconds(row["started_at"], end)


def _pending(row: Any, now: datetime) -> int:
    end = row["started_at"] or row["finished_at"] or now
    return _nanoseconds(row["inserted_at"], end)


def _nanoseconds(start: datetime, end: datetime) -> int:
    return max(0, int((end - start).total_seconds() * NANOSECONDS))


def _time(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z") if time is not None else None

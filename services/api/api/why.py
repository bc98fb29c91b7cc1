"""Answers to why: what was decided about a revision, and what a delivery led to."""

import re
from datetime import UTC
from typing import Any

from aiohttp import web

from api.decisions import Decisions
from api.errors import BadRequestError, UnknownError
from api.tracing import Tracer

REVISION = re.compile("[0-9a-f]{7,40}")

LONGEST_ID = 100
"""Characters of the id of a delivery, as webhook-ingress takes them."""


class Why:
    """Reads decisions."""

    def __init__(self, decisions: Decisions, tracer: Tracer) -> None:
        self._decisions = decisions
        self._tracer = tracer

    async def of_revision(self, request: web.Request) -> web.Response:
        """List what was decided about a revision of a pipeline, oldest first; it may be shortened to 7 digits."""
        where, revision = request.match_info, request.query.get("filter[revision]", "").lower()
        if not REVISION.fullmatch(revision):
            raise BadRequestError("filter[revision]: write 7 to 40 hexadecimal digits of a revision")
        rows = await self._decisions.of_revision(where["source"], where["owner"], where["name"], revision)
        return web.json_response({"revision": revision, "items": [decision(row) for row in rows]})

    async def of_delivery(self, request: web.Request) -> web.Response:
        """Show what a delivery led to; one that led to nothing is looked for among the events that are kept."""
        delivery = request.match_info["id"]
        if len(delivery) > LONGEST_ID:
            raise BadRequestError(f"an id of a delivery has at most {LONGEST_ID} characters")
        rows = await self._tracer.led_to(delivery)
        found = None if rows else await self._tracer.heard(delivery)
        if not rows and found is None:
            raise UnknownError(f"delivery {delivery} was never heard of, or is no longer kept")
        heard = {"subject": found.subject, "time": _time(found.envelope.time)} if found else None
        return web.json_response({"delivery": delivery, "heard": heard, "items": [decision(row) for row in rows]})


def decision(row: Any) -> dict[str, Any]:
    """Return a decision with the job that it is about, as it is now."""
    return {
        "id": row["id"],
        "causeID": row["cause_id"],
        "about": row["subject_kind"],
        "decision": row["decision"],
        "reason": row["reason"],
        "repoSource": row["source"],
        "repoOwner": row["owner"],
        "repoName": row["name"],
        "ref": row["ref"],
        "repoRevision": row["revision"],
        "decidedAt": _time(row["decided_at"]),
        "job": _job(row) if row["job_id"] else None,
    }


def _job(row: Any) -> dict[str, Any]:
    return {
        "kind": row["job_kind"],
        "id": row["job_id"],
        "version": row["version"],
        "runs": row["runs"],
        "action": row["action"],
        "status": row["status"],
        "outcome": row["outcome"],
        "reason": row["job_reason"],
        "waitsFor": row["waits_for"],
    }


def _time(time: Any) -> str:
    return str(time.astimezone(UTC).isoformat()).replace("+00:00", "Z")

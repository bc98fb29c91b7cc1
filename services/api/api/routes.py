"""Answers to reads, in the reference's JSON."""

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from api import entities, queries
from api.errors import UnknownError
from api.logs import Logs
from api.pipelines import Pipelines
from api.steps import fold


class Routes:
    """Reads pipelines, builds and logs."""

    def __init__(self, pipelines: Pipelines, logs: Logs) -> None:
        self._pipelines = pipelines
        self._logs = logs

    async def pipelines(self, request: web.Request) -> web.Response:
        """List pipelines with their newest build."""
        now = datetime.now(UTC)
        query = queries.parse(request.query, now=now)
        page = await self._pipelines.pipelines(query)
        return web.json_response(entities.listing(page, [entities.pipeline(row, now=now) for row in page.rows], query))

    async def pipeline(self, request: web.Request) -> web.Response:
        """Show one pipeline."""
        where = request.match_info
        row = await self._pipelines.pipeline(where["source"], where["owner"], where["name"])
        if row is None:
            raise UnknownError(f"there is no pipeline {where['source']}/{where['owner']}/{where['name']}")
        return web.json_response(entities.pipeline(row, now=datetime.now(UTC)))

    async def builds(self, request: web.Request) -> web.Response:
        """List builds of a pipeline."""
        now, where = datetime.now(UTC), request.match_info
        query = queries.parse(request.query, now=now)
        page = await self._pipelines.builds(where["source"], where["owner"], where["name"], query)
        return web.json_response(entities.listing(page, [entities.build(row, now=now) for row in page.rows], query))

    async def build(self, request: web.Request) -> web.Response:
        """Show one build, by id or by revision."""
        return web.json_response(entities.build(await self._found(request), now=datetime.now(UTC)))

    async def releases(self, request: web.Request) -> web.Response:
        """List releases of a pipeline."""
        now, where = datetime.now(UTC), request.match_info
        query = queries.parse(request.query, now=now)
        page = await self._pipelines.releases(where["source"], where["owner"], where["name"], query)
        return web.json_response(entities.listing(page, [entities.release(row, now=now) for row in page.rows], query))

    async def release(self, request: web.Request) -> web.Response:
        """Show one release."""
        where = request.match_info
        row = await self._pipelines.release(where["source"], where["owner"], where["name"], where["id"])
        if row is None:
            raise UnknownError(f"there is no release {where['id']} of this pipeline")
        return web.json_response(entities.release(row, now=datetime.now(UTC)))

    async def bots(self, request: web.Request) -> web.Response:
        """List runs of bots of a pipeline."""
        now, where = datetime.now(UTC), request.match_info
        query = queries.parse(request.query, now=now)
        page = await self._pipelines.bots(where["source"], where["owner"], where["name"], query)
        return web.json_response(entities.listing(page, [entities.bot(row, now=now) for row in page.rows], query))

    async def bot(self, request: web.Request) -> web.Response:
        """Show one run of a bot."""
        where = request.match_info
        row = await self._pipelines.bot(where["source"], where["owner"], where["name"], where["id"])
        if row is None:
            raise UnknownError(f"there is no run {where['id']} of a bot of this pipeline")
        return web.json_response(entities.bot(row, now=datetime.now(UTC)))

    async def build_log(self, request: web.Request) -> web.Response:
        """Show the newest log of a build."""
        build = await self._found(request)
        steps = fold(await self._logs.newest(build["id"]))
        return web.json_response({**_record(build, attempt=build["attempt"]), "steps": steps})

    async def build_logs(self, request: web.Request) -> web.Response:
        """List the logs of a build, one for each attempt, without their lines."""
        build = await self._found(request)
        attempts = await self._logs.attempts(build["id"])
        items = [_record(build, attempt=row["attempt"], inserted_at=row["inserted_at"]) for row in attempts]
        pagination = {"page": 1, "size": len(items), "totalPages": 1, "totalItems": len(items)}
        return web.json_response({"items": items, "pagination": pagination})

    async def _found(self, request: web.Request) -> Any:
        where = request.match_info
        row = await self._pipelines.build(where["source"], where["owner"], where["name"], where["id"])
        if row is None:
            raise UnknownError(f"there is no build {where['id']} of this pipeline")
        return row


def _record(build: Any, *, attempt: int, inserted_at: datetime | None = None) -> dict[str, Any]:
    time = inserted_at or build["inserted_at"]
    return {
        "id": f"{build['id']}-{attempt}",
        "repoSource": build["source"],
        "repoOwner": build["owner"],
        "repoName": build["name"],
        "repoBranch": build["branch"],
        "repoRevision": build["revision"],
        "buildID": build["id"],
        "insertedAt": time.astimezone(UTC).isoformat(),
    }

"""A small fake of GitHub's API whose requests are checked against the OpenAPI document that GitHub publishes."""

import asyncio
import json
import re
import subprocess
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jsonschema_rs
from aiohttp import web

from estafette_local.servers import free_port

OPENAPI = Path(__file__).parents[1] / "forge/node_modules/@octokit/openapi/generated/api.github.com.json"

REVISION = re.compile(r"[0-9a-f]{40}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeForge:
    """Serves contents from bare git repositories and takes commit statuses, in the order they came."""

    def __init__(self, repositories: Path | None = None) -> None:
        self.statuses: list[dict[str, Any]] = []
        self.installed: set[str] = set()
        """Accepted, oldest first; each with `owner`, `repo` and `sha` beside what was sent."""
        self.violations: list[str] = []
        """What requests did that GitHub's document does not allow."""
        self.repositories = repositories
        """Root of `<owner>/<name>.git`."""
        self._port = free_port()
        self._failures: list[int] = []
        self._at_hand: dict[tuple[str, ...], bytes] = {}
        """Files by owner, repository, revision and path."""
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def fail(self, *answers: int) -> None:
        """Answer the next requests with these statuses."""
        self._failures.extend(answers)

    def states(self, revision: str) -> list[str]:
        """Return the states a commit was given, oldest first."""
        return [status["state"] for status in self.statuses if status["sha"] == revision]

    async def start(self) -> None:
        """Listen (again, on the same port)."""
        app = web.Application(middlewares=[self._checked])
        app.add_routes(
            [
                web.get("/repos/{owner}/{repo}/contents/{path:.+}", self._contents),
                web.get("/repos/{owner}/{repo}/git/ref/{ref:.+}", self._ref),
                web.post("/repos/{owner}/{repo}/statuses/{sha}", self._create_status),
                web.get("/repos/{owner}/{repo}/commits/{ref}/statuses", self._list_statuses),
                web.get("/repos/{owner}/{repo}/installation", self._installation),
                web.post("/app/installations/{installation_id}/access_tokens", self._token),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not (request.headers.get("Authorization") and request.headers.get("User-Agent")):
            self.violations.append(f"{request.method} {request.path}: Authorization or User-Agent is missing")
        self.violations.extend(await _violations(request))
        if self._failures:
            return web.json_response({"message": "told to fail"}, status=self._failures.pop(0))
        return await handler(request)

    async def read(self, owner: str, repository: str, revision: str, path: str) -> bytes | None:
        """Return a file of a revision, or nothing where there is none. It is at hand from then on."""
        place = (owner, repository, revision, path)
        if place in self._at_hand:
            return self._at_hand[place]
        if self.repositories is None:
            return None
        command = ["git", "-C", str(self.repositories / owner / f"{repository}.git"), "show", f"{revision}:{path}"]
        shown = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
        if shown.returncode != 0:
            return None
        if REVISION.fullmatch(revision):  # what a branch has can change
            self._at_hand[place] = shown.stdout
        return shown.stdout

    async def _contents(self, request: web.Request) -> web.Response:
        where = request.match_info
        content = await self.read(where["owner"], where["repo"], request.query.get("ref", "HEAD"), where["path"])
        if content is None:
            return web.json_response({"message": "Not Found"}, status=404)
        return web.Response(body=content, content_type="application/vnd.github.raw+json")

    async def _ref(self, request: web.Request) -> web.Response:
        where = request.match_info
        if self.repositories is None:
            raise web.HTTPNotFound
        repository, ref = self.repositories / where["owner"] / f"{where['repo']}.git", f"refs/{where['ref']}"
        command = ["git", "-C", str(repository), "rev-parse", "--verify", "--quiet", ref]
        found = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        if found.returncode != 0:
            return web.json_response({"message": "Not Found"}, status=404)
        return web.json_response({"ref": ref, "object": {"type": "commit", "sha": found.stdout.strip()}})

    async def _create_status(self, request: web.Request) -> web.Response:
        status = {**request.match_info, **await request.json(), "id": len(self.statuses) + 1}
        self.statuses.append(status)
        return web.json_response(status, status=201)

    async def _list_statuses(self, request: web.Request) -> web.Response:
        found = [status for status in self.statuses if status["sha"] == request.match_info["ref"]]
        return web.json_response(found[::-1])

    async def _installation(self, request: web.Request) -> web.Response:
        if request.match_info["owner"] not in self.installed:
            return web.json_response({"message": "Not Found"}, status=404)
        return web.json_response({"id": 7})

    async def _token(self, _: web.Request) -> web.Response:
        answer = {"token": "ghs_sample", "expires_at": "2099-01-01T00:00:00Z"}
        return web.json_response(answer, status=201)


async def _violations(request: web.Request) -> list[str]:
    """Return what the request does that GitHub's document does not allow."""
    name = f"{request.method} {request.path}"
    operation = _operation(request.method.lower(), request.path)
    if operation is None:
        return [f"{name}: GitHub has no such operation"]
    known = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
    wrong = [f"{name}: unknown parameter {each}" for each in request.query if each not in known]
    schema = operation["body"]
    if schema is not None and request.can_read_body:
        validator = jsonschema_rs.validator_for(schema)
        wrong += [f"{name}: {error.message}" for error in validator.iter_errors(await request.json())]
    return wrong


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for pattern, operations in _paths():
        if pattern.fullmatch(path) and method in operations:
            found: dict[str, Any] = operations[method]
            return found
    return None


SERVED = ("/access_tokens", "}/installation", "/git/ref/{ref}")
"""How paths end whose operations are checked."""


@lru_cache(maxsize=1)
def _paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Return the operations of the paths served here, with references followed."""
    document = json.loads(OPENAPI.read_text())

    def follow(node: Any) -> Any:
        """Put what references name in their place, all the way down."""
        while isinstance(node, dict) and "$ref" in node:
            found: Any = document
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step.replace("~1", "/")]
            node = found
        if isinstance(node, dict):
            return {name: follow(each) for name, each in node.items()}
        return [follow(each) for each in node] if isinstance(node, list) else node

    paths = []
    for path, operations in document["paths"].items():
        if not ("/contents/" in path or "statuses" in path or path.endswith(SERVED)):
            continue
        pattern = "/".join(
            ".+"
            if part == "{path}" or (part == "{ref}" and path.endswith(part))
            else "[^/]+"
            if part.startswith("{")
            else re.escape(part)
            for part in path.split("/")
        )
        paths.append((re.compile(pattern), {name: _described(each, follow) for name, each in operations.items()}))
    return paths


def _described(operation: dict[str, Any], follow: Callable[[Any], Any]) -> dict[str, Any]:
    body = follow(operation.get("requestBody", {})).get("content", {}).get("application/json", {}).get("schema")
    return {"parameters": follow(operation.get("parameters", [])), "body": body}

"""Calls to the API server of Kubernetes: raw JSON, a bounded rate, and errors of ours.

Objects stay dictionaries: making the client library's models of them costs a millisecond and some 50 KB each.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import aiohttp
from kubernetes_asyncio import client, config
from kubernetes_asyncio.client import ApiClient
from prometheus_client import Counter

from estafette_common.jobs.runtimes import JobRefusedError, RuntimeUnavailableError

CALLS = Counter("estafette_kubernetes_calls_total", "Calls to the API server.", ["method", "resource"])

ANSWERS_WITHIN = 30.0
"""Seconds."""

PAGE = 250
"""Objects of a list that are in memory at once."""

WATCHED_FOR = 240
"""Seconds after which the server ends a watch, so that one which broke unseen does not last."""

SILENT = 60.0
"""Seconds that a watch may outlast that."""

INVALID = {400, 413, 422}
"""Statuses that no repetition changes. 403 is none of them: a quota may be used up, a role not bound yet."""

PATHS = {
    "jobs": "/apis/batch/v1/namespaces/{namespace}/jobs",
    "pods": "/api/v1/namespaces/{namespace}/pods",
    "secrets": "/api/v1/namespaces/{namespace}/secrets",
}

Object = dict[str, Any]
"""An object as the API server has it."""


class GoneError(Exception):
    """What a watch was to go on from is not kept any more: everything has to be listed again."""


class ApiError(Exception):
    """The API server says no. The text of its answer may quote a Secret, so it is not part of this."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status

    def as_ours(self) -> JobRefusedError | RuntimeUnavailableError:
        """Return what it means to who starts jobs."""
        if self.status in INVALID:
            return JobRefusedError(f"Kubernetes refuses it: {self}")
        return RuntimeUnavailableError(f"Kubernetes says {self}")


class Rate:
    """Lets calls through at no more than so many a second; a tenth of a second's worth may come at once."""

    def __init__(self, per_second: float) -> None:
        """Take the rate; 0: there is no limit."""
        self._interval = 1 / per_second if per_second else 0.0
        self._next = 0.0

    async def wait(self) -> None:
        """Return when it is this call's turn."""
        now = asyncio.get_running_loop().time()
        self._next = max(self._next + self._interval, now - 0.1)
        if self._next > now:
            await asyncio.sleep(self._next - now)


class Api:
    """The API server, in one namespace. Everything raises ApiError, or RuntimeUnavailableError where it is away."""

    def __init__(self, namespace: str, *, calls_per_second: float) -> None:
        self._namespace = namespace
        self._rate = Rate(calls_per_second)
        self._client: ApiClient | None = None
        self._connecting = asyncio.Lock()

    async def get(self, resource: str, name: str) -> Object | None:
        """Return an object, or nothing where there is none."""
        try:
            return await self._call("GET", resource, name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, resource: str, body: Object) -> Object | None:
        """Create an object; return it, or nothing where there is one of its name already."""
        try:
            return await self._call("POST", resource, body=body)
        except ApiError as error:
            if error.status == 409:
                return None
            raise

    async def delete(self, resource: str, name: str) -> None:
        """Delete an object after what it owns; nothing happens where there is none."""
        try:
            await self._call("DELETE", resource, name, {"propagationPolicy": "Foreground"})
        except ApiError as error:
            if error.status != 404:
                raise

    async def pages(self, resource: str, selector: str) -> AsyncGenerator[Object]:
        """Give the objects with some labels as lists, page after page."""
        query = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            page = await self._call("GET", resource, query=query)
            yield page
            if not (more := page["metadata"].get("continue")):
                return
            query["continue"] = more

    async def watch(self, resource: str, selector: str, version: str) -> AsyncGenerator[Object]:
        """Give what changes after a version, until the server ends it. Raises GoneError."""
        query = {
            "watch": "true",
            "labelSelector": selector,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCHED_FOR),
        }
        limit = aiohttp.ClientTimeout(total=None, sock_connect=ANSWERS_WITHIN, sock_read=WATCHED_FOR + SILENT)
        try:
            response = await self._send("GET", resource, query=query, limit=limit)
            async with response, aclosing(_lines(response)) as lines:
                async for line in lines:
                    yield _event(json.loads(line))
        except ApiError as error:
            if error.status == 410:
                raise GoneError from None
            raise
        except (OSError, aiohttp.ClientError) as error:
            raise _away(error) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _call(
        self, method: str, resource: str, name: str = "", query: Mapping[str, str] | None = None, *, body: Any = None
    ) -> Object:
        limit = aiohttp.ClientTimeout(total=ANSWERS_WITHIN)
        try:
            async with await self._send(method, resource, name, query, body=body, limit=limit) as response:
                answer: Object = json.loads(await response.read())
                return answer
        except (OSError, aiohttp.ClientError) as error:  # a time-out is an OSError
            raise _away(error) from error

    async def _send(
        self,
        method: str,
        resource: str,
        name: str = "",
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        limit: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        connected = await self._connected()
        await self._rate.wait()
        CALLS.labels(method, resource).inc()
        path = PATHS[resource].format(namespace=self._namespace)
        response: aiohttp.ClientResponse = await connected.call_api(
            f"{path}/{name}" if name else path,
            method,
            query_params=list((query or {}).items()),
            header_params={"Content-Type": "application/json", "Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=limit,
        )
        if not response.ok:
            response.close()
            raise ApiError(response.status, response.reason or "")
        return response

    async def _connected(self) -> ApiClient:
        async with self._connecting:
            if self._client is None:
                self._client = ApiClient(await configuration())
            return self._client


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line


def _event(event: Object) -> Object:
    """Return an event of a watch, unless it says that the watch failed."""
    if event["type"] == "ERROR":
        status = event["object"]
        raise ApiError(int(status.get("code", 500)), str(status.get("reason", "")))
    return event


def _away(error: Exception) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(f"the API server of Kubernetes does not answer: {error!r}")


async def configuration() -> Any:
    """Return how the API server is reached: from inside a cluster, or by KUBECONFIG. RuntimeUnavailableError."""
    found = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]  # it has no hints
    except config.ConfigException:
        try:
            await config.load_kube_config(client_configuration=found)
        except (config.ConfigException, OSError) as error:
            raise RuntimeUnavailableError(f"neither in a cluster nor with a usable KUBECONFIG: {error}") from error
    return found

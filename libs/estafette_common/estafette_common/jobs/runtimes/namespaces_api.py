"""Calls to the API server of Kubernetes that are about the whole cluster, or about objects without what they hold."""

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiClient

from estafette_common.jobs.runtimes import RuntimeUnavailableError
from estafette_common.jobs.runtimes.kubernetes_api import ANSWERS_WITHIN, PAGE, ApiError, Object, configuration

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

ONLY_METADATA = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"
"""Asks for lists of objects without what they hold: what is in a Secret is none of the cleaner's business."""


class ClusterApi:
    """The API server, by path. Everything raises ApiError, or RuntimeUnavailableError where it is away."""

    def __init__(self) -> None:
        self._client: ApiClient | None = None

    async def get(self, path: str) -> Object | None:
        """Return an object, or nothing where there is none."""
        return await self._unless(404, "GET", path)

    async def create(self, path: str, body: Object) -> Object | None:
        """Create an object; return it, or nothing where there is one of its name already."""
        return await self._unless(409, "POST", path, body=body)

    async def patch(self, path: str, body: Object) -> Object | None:
        """Change an object (RFC 7386); return it, or nothing where there is none."""
        return await self._unless(404, "PATCH", path, body=body, sent=MERGE_PATCH)

    async def delete(self, path: str, *, uid: str) -> None:
        """Delete an object after what it owns, unless another one has its name by now."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Foreground"}
        try:
            await self._unless(404, "DELETE", path, body=body)
        except ApiError as error:
            if error.status != 409:
                raise

    async def items(self, path: str, selector: str = "", *, wanted: str = JSON) -> list[Object]:
        """Return the objects with some labels; with `ONLY_METADATA`, without what they hold."""
        query = {"labelSelector": selector, "limit": str(PAGE)}
        found: list[Object] = []
        while True:
            page = await self._call("GET", path, query=query, wanted=wanted)
            found += page["items"] or []  # of metadata alone, an empty list is null
            if not (more := page["metadata"].get("continue")):
                return found
            query["continue"] = more

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _unless(
        self, status: int, method: str, path: str, *, body: Any = None, sent: str = JSON
    ) -> Object | None:
        try:
            return await self._call(method, path, body=body, sent=sent)
        except ApiError as error:
            if error.status == status:
                return None
            raise

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        sent: str = JSON,
        wanted: str = JSON,
    ) -> Object:
        if self._client is None:
            self._client = ApiClient(await configuration())
        try:
            response: aiohttp.ClientResponse = await self._client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Content-Type": sent, "Accept": wanted},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=aiohttp.ClientTimeout(total=ANSWERS_WITHIN),
            )
            async with response:
                if not response.ok:
                    raise ApiError(response.status, response.reason or "")
                answer: Object = json.loads(await response.read())
                return answer
        except (OSError, aiohttp.ClientError) as error:  # a time-out is an OSError
            raise RuntimeUnavailableError(f"the API server of Kubernetes does not answer: {error!r}") from error

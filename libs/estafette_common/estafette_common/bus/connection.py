"""Connecting to NATS so that the connection is never given up."""

from pathlib import Path
from typing import Any

import structlog
from nats.aio.client import DEFAULT_INBOX_PREFIX, Client

log = structlog.get_logger()

RECONNECT_WAIT: Any = 0.25
"""Seconds between two tries to reach a server that went away. (The client says int and sleeps any number.)"""

OLDEST_SERVER = (2, 9)
"""JetStream of an older server lacks what the streams here are made of."""


def servers(url: str) -> list[str]:
    """Return each server of a list that is separated by commas. The client library takes such a list for one server."""
    return [each.strip() for each in url.split(",") if each.strip()]


async def connect(
    url: str, *, name: str, credentials: Path | None = None, inbox: str = DEFAULT_INBOX_PREFIX.decode()
) -> Client:
    """Return a connection that comes back by itself however long the server is away.

    Waits for the server if it is not there yet; `url` may name several, separated by commas. `credentials` is a NATS
    credentials file, read at each try; answers come on subjects below `inbox`.
    """
    client = Client()
    await client.connect(
        servers(url),
        name=name,
        user_credentials=credentials,
        inbox_prefix=inbox,
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_WAIT,
        connect_timeout=2,
        ping_interval=10,
        max_outstanding_pings=2,
        error_cb=log_error,
        disconnected_cb=_log_disconnected,
        reconnected_cb=_log_reconnected,
    )
    check_version(client)
    return client


async def log_error(error: Exception) -> None:
    """Log what the client library reports and cannot raise."""
    log.warning("nats trouble", error=repr(error))


async def _log_disconnected() -> None:
    log.warning("nats connection lost")


async def _log_reconnected() -> None:
    log.info("nats connection is back")


def check_version(client: Client) -> None:
    """Log the server's version; RuntimeError when it is too old to be relied on."""
    version = client.connected_server_version
    log.info("nats connected", server=str(version))
    if (version.major, version.minor) < OLDEST_SERVER:
        raise RuntimeError(f"nats-server {version} is too old; use 2.9 or newer")

"""Calling a Docker Engine: what can go wrong, in words."""

import aiodocker
import aiohttp

FAILURES = (aiodocker.DockerError, aiohttp.ClientError, OSError)
"""What calling the engine raises."""


def reason(error: Exception) -> str:
    """Return why a call failed."""
    return str(error.message) if isinstance(error, aiodocker.DockerError) else str(error) or repr(error)

"""Ending tasks of asyncio so that they do end."""

import asyncio
from typing import Any

AGAIN_AFTER = 0.5
"""Seconds after which a task that goes on is cancelled once more; tidying up must not take as long."""


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task; return when it is over, however it ended.

    Once is not enough: `asyncio.wait_for` of Python 3.11 loses a cancellation that comes just when there is a result
    (https://github.com/python/cpython/issues/86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_AFTER)

"""Waiting for a condition with a deadline."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

LOOK_EVERY = 0.02
"""Seconds."""


@overload
async def eventually(look: Callable[[], Awaitable[T]], *, within: float = ...) -> T: ...
@overload
async def eventually(look: Callable[[], T], *, within: float = ...) -> T: ...
async def eventually(look: Callable[[], T | Awaitable[T]], *, within: float = 10) -> T:
    """Return what `look` sees as soon as it is true; what it raises until then is forgiven.

    AssertionError with the last thing seen, or raised, when `within` seconds are over.
    """
    deadline = asyncio.get_running_loop().time() + within
    while True:
        try:
            seen = look()
            result: T = await seen if inspect.isawaitable(seen) else seen
            if result:
                return result
            last: object = result
        except Exception as error:  # noqa: BLE001  a thing that is not there yet may raise
            last = error
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {within} s; last seen: {last!r}")
        await asyncio.sleep(LOOK_EVERY)

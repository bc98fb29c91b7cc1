"""A client that sends what no client should, over sockets of its own."""

import asyncio
from contextlib import suppress

from tests.fuzz.attacks import Attack

PAUSE = 0.02
"""Seconds between the pieces of a slow request."""

ANSWERS_WITHIN = 60.0
"""Seconds."""

HEARD_WITHIN = 0.15
"""Seconds for which an answer is waited for that need not come, before the connection is closed."""

Answer = tuple[int, bytes]
"""Status and body."""


class Client:
    """One connection after the other, each used for as long as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader = asyncio.StreamReader()
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, attack: Attack) -> Answer | None:
        """Return the answer to an attack, or nothing when the connection ends without one."""
        if attack.alone or self._writer is None or self._writer.is_closing() or self._reader.at_eof():
            return await self._send_anew(attack)
        # The server may close a connection that was used, as any HTTP client must expect.
        return await self._try(attack) or await self._send_anew(attack)

    async def _send_anew(self, attack: Attack) -> Answer | None:
        await self.close()
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        answer = await self._try(attack)
        if attack.alone:
            await self.close()
        return answer

    async def _try(self, attack: Attack) -> Answer | None:
        try:
            async with asyncio.timeout(ANSWERS_WITHIN if attack.answer_due else HEARD_WITHIN):
                await self._write(attack)
                return await self._read()
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            await self.close()
            return None

    async def _write(self, attack: Attack) -> None:
        assert self._writer is not None
        try:
            for place, piece in enumerate(attack.pieces):
                if place:
                    await asyncio.sleep(PAUSE)
                self._writer.write(piece)
                await self._writer.drain()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server answered and closed before it had all; the answer may still be there

    async def _read(self) -> Answer:
        while True:
            status_line, *lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
            status = int(status_line.split()[1])
            if status != 100:
                break
        headers = dict(line.lower().split(b": ", 1) for line in lines if b": " in line)
        body = await self._reader.readexactly(int(headers.get(b"content-length", b"0")))
        if headers.get(b"connection") == b"close":
            await self.close()
        return status, body

    async def close(self) -> None:
        """Let go of the connection."""
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None

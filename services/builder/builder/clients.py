"""Connections to the builder host: each says a line and is answered with one. Nothing here ever waits."""

import selectors
import socket
import time
from collections.abc import Callable
from functools import partial

from estafette_common.jobs.runtimes.protocol import LINE_LIMIT

READ = 1 << 20
"""Bytes read at once."""

PATIENCE = 10.0
"""Seconds a client has to say what it wants, and again to take the answer."""


Reply = Callable[[bytes, "Client"], bytes | None]
"""Does what a line asks and returns the answer to it; nothing if somebody else will give it."""


class Client:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        self.connection = connection
        self._said = bytearray()
        self._answer = memoryview(b"")
        self.deadline = time.monotonic() + PATIENCE
        """Of the monotonic clock: after it, the client is hung up on."""

    def read(self) -> bytes | None:
        """Return the client's line if it is there, else nothing; OSError when it hung up or says too much."""
        try:
            data = self.connection.recv(READ)
        except BlockingIOError:
            return None
        self._said += data
        line, end, _ = self._said.partition(b"\n")
        if end:
            return bytes(line)
        if not data or len(self._said) > LINE_LIMIT:
            raise ConnectionAbortedError("a line without an end")
        return None

    def answer(self, line: bytes) -> None:
        """Begin to answer."""
        self._answer = memoryview(line)
        self.deadline = time.monotonic() + PATIENCE

    def write(self) -> bool:
        """Write what the connection takes now; return whether that was all. OSError when the client hung up."""
        try:
            self._answer = self._answer[self.connection.send(self._answer) :]
        except BlockingIOError:
            return False
        return not self._answer


class Clients:
    """All connections to one socket."""

    def __init__(self, listener: socket.socket, selector: selectors.BaseSelector, reply: Reply) -> None:
        self._listener = listener
        self._selector = selector
        self._reply = reply
        self._clients: set[Client] = set()
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def seconds_left(self) -> float | None:
        """Return in how many seconds the first of them will be late; nothing if there is none."""
        now = time.monotonic()
        return min((max(0.0, client.deadline - now) for client in self._clients), default=None)

    def hang_up_on_late_ones(self) -> None:
        """Give up those who let others wait."""
        now = time.monotonic()
        for client in [client for client in self._clients if client.deadline < now]:
            self._hang_up(client)

    def let_go(self, *, but: Client | None) -> None:
        """Close this process's hold on the connections, in a forked process that would keep them open."""
        self._listener.close()
        for client in self._clients - {but}:
            client.connection.close()

    def _accept(self) -> None:
        client = Client(self._listener.accept()[0])
        self._clients.add(client)
        self._selector.register(client.connection, selectors.EVENT_READ, partial(self._read, client))

    def _read(self, client: Client) -> None:
        try:
            line = client.read()
        except OSError:
            self._hang_up(client)
            return
        if line is None:
            return
        answer = self._reply(line, client)
        if answer is None:
            self._hang_up(client)
        else:
            client.answer(answer)
            self._selector.modify(client.connection, selectors.EVENT_WRITE, partial(self._write, client))

    def _write(self, client: Client) -> None:
        try:
            done = client.write()
        except OSError:
            done = True
        if done:
            self._hang_up(client)

    def _hang_up(self, client: Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._selector.unregister(client.connection)
            client.connection.close()

"""Packets, in which git servers are asked and answer: gitprotocol-common(5), gitprotocol-v2(5). Pure."""

from collections.abc import Iterator

FLUSH, DELIMITER = b"0000", b"0001"

DATA, ERROR = b"\x01", b"\x03"
"""Bands in which a pack is sent."""


class GitError(Exception):
    """A git server refuses, or sends what no git server does, or more than is read; the message says what."""


def request(command: str, *arguments: str) -> bytes:
    """Return what a command is asked with."""
    return packet(f"command={command}") + DELIMITER + b"".join(map(packet, arguments)) + FLUSH


def packet(line: str) -> bytes:
    """Return a line as it is sent."""
    content = f"{line}\n".encode()
    return f"{len(content) + 4:04x}".encode() + content


def lines(answer: bytes) -> Iterator[bytes]:
    """Yield what packets hold; those that only divide others are left out. Raises GitError."""
    position = 0
    while position < len(answer):
        try:
            size = int(answer[position : position + 4], 16)
        except ValueError:
            raise GitError("no packets") from None
        if size == 3 or position + size > len(answer):
            raise GitError("a packet ends too early")
        if size > 4:
            yield answer[position + 4 : position + size]
        position += max(size, 4)


def capabilities(answer: bytes) -> dict[str, str]:
    """Return what a server can do, by name; nothing when it does not know version 2 of the protocol."""
    said = [line.decode(errors="replace").strip() for line in lines(answer)]
    if "version 2" not in said:
        return {}
    told = said[said.index("version 2") + 1 :]
    return {name: value for name, _, value in (line.partition("=") for line in told)}


def pack_of(answer: bytes) -> bytes:
    """Return the pack in the answer to `fetch`. Raises GitError, also with what the server says is wrong."""
    parts, begun = [], False
    for line in lines(answer):
        if line.startswith(b"ERR ") or (begun and line[:1] == ERROR):
            raise GitError(line.lstrip(b"ER\x03 ").decode(errors="replace").strip())
        if begun and line[:1] == DATA:
            parts.append(line[1:])
        begun = begun or line == b"packfile\n"
    return b"".join(parts)


def revision_of(answer: bytes, ref: str) -> str | None:
    """Return what a ref points to by the answer to `ls-refs`, or nothing when it is not there. Raises GitError."""
    for line in lines(answer):
        if line.startswith(b"ERR "):
            raise GitError(line[4:].decode(errors="replace").strip())
        revision, _, name = line.decode(errors="replace").strip().partition(" ")
        if name == ref:
            return revision
    return None

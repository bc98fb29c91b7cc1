"""Records on disk, first in first out, in a file that nobody else sees and that is gone with this process."""

import os
import struct
import tempfile
from pathlib import Path
from typing import IO

import structlog

log = structlog.get_logger()

_LENGTH = struct.Struct("<I")


class Spool:
    """Holds records in a folder, of at most so many bytes in all: a ring, so that the file never grows beyond that."""

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self._folder = folder
        self._most = most_bytes
        self._file: IO[bytes] | None = None
        self._begin = 0
        self._end = 0
        """As if the file were endless; a place in it is that modulo its most bytes."""

    def __bool__(self) -> bool:
        """Return whether it holds any."""
        return self._end > self._begin

    def put(self, record: bytes) -> bool:
        """Take a record and return True, or False when there is no room for it here or on the disk."""
        data = _LENGTH.pack(len(record)) + record
        if self._end + len(data) - self._begin > self._most:
            return False
        try:
            self._write(data)
        except OSError as error:
            log.warning("log cannot be spooled", folder=str(self._folder), error=str(error))
            return False
        self._end += len(data)
        return True

    def take(self) -> bytes:
        """Return, and forget, the first record; IndexError when there is none."""
        if not self or self._file is None:
            raise IndexError("the spool is empty")
        (length,) = _LENGTH.unpack(self._read(self._begin, _LENGTH.size))
        record = self._read(self._begin + _LENGTH.size, length)
        self._begin += _LENGTH.size + length
        if not self:
            self._begin = self._end = 0
            self._file.truncate(0)
        return record

    def close(self) -> None:
        """Forget everything, and give the disk back what it took."""
        self._begin = self._end = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  closed by `close`
        for place, start, size in self._parts(self._end, len(data)):
            written = 0
            while written < size:
                part = memoryview(data)[start + written : start + size]
                written += os.pwrite(self._file.fileno(), part, place + written)

    def _read(self, at: int, length: int) -> bytes:
        assert self._file is not None  # noqa: S101  there is a record
        descriptor = self._file.fileno()
        return b"".join(os.pread(descriptor, size, place) for place, _, size in self._parts(at, length))

    def _parts(self, at: int, length: int) -> list[tuple[int, int, int]]:
        """Return the parts of the file that hold so many bytes: place, offset in the data, size."""
        place = at % self._most
        first = min(length, self._most - place)
        return [(place, 0, first), (0, first, length - first)]

"""`python -m tests.proof.power`: what JetStream confirmed and a loss of power takes away. Needs root and Linux.

The store is on a file system of its own that is shut down as if the power went: what was not written yet is gone. The
kernel offers that for tests of file systems (EXT4_IOC_SHUTDOWN).
"""

import argparse
import asyncio
import fcntl
import os
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nats
from estafette_common.bus.subjects import STREAMS
from estafette_common.bus.topology import declare
from estafette_local.servers import free_port, wait_for_port

SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32)"""

WITHOUT_WRITING = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH"""

MEBIBYTES = 256


def main() -> int:
    """Print what was lost; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.power", description=__doc__)
    parser.add_argument("--server", default="nats-server", help="the nats-server to try")
    parser.add_argument("--sync", default="", help="its sync_interval, such as always; 2.10 or newer")
    parser.add_argument("--messages", type=int, default=1_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        kept, stored = asyncio.run(lose_power(Path(place), arguments.server, arguments.sync, arguments.messages))
    version = subprocess.run([arguments.server, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{version}, sync_interval {arguments.sync or 'not set'}: {stored} confirmed, {stored - kept} lost")
    return 0


async def lose_power(place: Path, server: str, sync: str, count: int) -> tuple[int, int]:
    """Publish messages, each confirmed, lose power, start again; returns how many are there and how many there were."""
    disk, port = place / "disk", free_port()
    with _file_system(place / "image", disk):
        process = _start(server, disk, port, sync)
        stored = await _publish(port, count)
        _shut_down(disk)
        process.send_signal(signal.SIGKILL)
        process.wait()
        await asyncio.to_thread(_mount_again, place / "image", disk)
        process = _start(server, disk, port, sync)
        kept = await _count(port)
        process.terminate()
        process.wait()
    return kept, stored


@contextmanager
def _file_system(image: Path, disk: Path) -> Iterator[None]:
    with image.open("wb") as file:
        file.truncate(MEBIBYTES * 1024**2)
    disk.mkdir()
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    _mount(image, disk)
    try:
        yield
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _mount(image: Path, disk: Path) -> None:
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)


def _mount_again(image: Path, disk: Path) -> None:
    subprocess.run(["umount", str(disk)], check=True)
    _mount(image, disk)


def _start(server: str, disk: Path, port: int, sync: str) -> "subprocess.Popen[bytes]":
    configuration, output = disk.parent / "nats.conf", disk.parent / "nats.log"
    interval = f", sync_interval: {sync}" if sync else ""
    configuration.write_text(f'jetstream {{ store_dir: "{disk}", max_file_store: {1024**4}{interval} }}\n')
    with output.open("ab") as log:
        process = subprocess.Popen(
            [server, "-a", "127.0.0.1", "-p", str(port), "-c", str(configuration)], stdout=log, stderr=log
        )
    wait_for_port(port, process, output)
    return process


async def _publish(port: int, count: int) -> int:
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    await declare(client.jetstream(), [])
    os.sync()  # the streams themselves are old
    for number in range(count):
        await client.jetstream().publish("event.git.push", b"x" * 1000, headers={"Nats-Msg-Id": str(number)})
    await client.close()
    return count


async def _count(port: int) -> int:
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    found = (await client.jetstream().stream_info(STREAMS["event"].name)).state.messages
    await client.close()
    return found


def _shut_down(disk: Path) -> None:
    folder = os.open(disk, os.O_RDONLY)
    try:
        fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", WITHOUT_WRITING))
    finally:
        os.close(folder)


if __name__ == "__main__":
    raise SystemExit(main())

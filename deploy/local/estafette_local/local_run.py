"""What `demo` and `dev` have in common: choices, plain errors, an end by Ctrl-C."""

import signal
import socket
from collections.abc import Callable
from types import FrameType

from rich.console import Console

from estafette_local.engine import Engine
from estafette_local.sample import IMAGE
from estafette_local.servers import free_port
from estafette_local.stack import StackError

console = Console(highlight=False, markup=False, emoji=False)

USUAL_PORTS = {"web": 8080, "webhook-ingress": 8081, "api": 5000}
"""Where people expect them; the page's development server passes /api on to port 5000."""

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class RunError(Exception):
    """What was asked for cannot be done; the message is for the person at the terminal."""


def run(main: Callable[[], int]) -> int:
    """Return the exit code of `main`; errors that a person can act on are printed without a traceback."""
    for ending in ENDINGS:
        signal.signal(ending, _interrupt)
    try:
        return main()
    except (RunError, StackError, FileNotFoundError) as error:
        Console(stderr=True, highlight=False, markup=False).print(f"error: {error}", style="red", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def note(text: str) -> None:
    """Say what happens."""
    console.print(f"» {text}", style="dim" if console.is_terminal else None, soft_wrap=True)


def stage_runtime(wanted: str | None) -> str:
    """Return `docker` or `process`, and say which and why."""
    why_not = Engine().can_run(IMAGE) if wanted != "process" else "that was asked for"
    if wanted == "docker" and why_not:
        raise RunError(f"stages cannot run in Docker: {why_not}")
    if why_not:
        note(f"stages run as processes of this machine, their images ignored: {why_not}")
        return "process"
    note("stages run in containers of the Docker Engine")
    return "docker"


def port_for(service: str, wanted: int | None = None) -> int:
    """Return the port for a service: the wanted one, or its usual one if nobody has it, or any."""
    if wanted is not None:
        if not _is_free(wanted):
            raise RunError(f"port {wanted} is taken on this machine; choose another")
        return wanted
    usual = USUAL_PORTS[service]
    if _is_free(usual):
        return usual
    port = free_port()
    note(f"port {usual} is taken; {service} will be at port {port}")
    return port


def stay() -> None:
    """Return at Ctrl-C or SIGTERM."""
    note("Ctrl-C stops everything")
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        note("stopping …")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _interrupt(_: int, __: FrameType | None) -> None:
    """Begin to end, once: the next Ctrl-C must not cut the ending short."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt

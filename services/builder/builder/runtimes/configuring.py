"""What the engine is asked to create for a stage."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.entrypoint import script
from builder.images import Found
from builder.runtimes import StageRun

SOCKET = "/var/run/docker.sock"
"""Where a container with the right to it finds the engine."""

CLIENT = Path("/usr/local/bin/docker")
"""Mounted beside the socket, where the builder's machine has it."""

CLIENT_INSIDE = "/dod/docker"


def configuration(
    stage: StageRun, found: Found, folder: Path, *, labels: dict[str, str], network: str, socket: str
) -> dict[str, Any]:
    """Return what the engine is asked to create; scripts and credentials are put into the folder.

    Its first process is the engine's init: a shell in that place would not hear SIGTERM. `socket` is that of the
    engine; empty when it has none.
    """
    place: dict[str, Any] = {} if stage.hostname else {"WorkingDir": stage.work_dir}
    binds = [] if stage.hostname else [f"{stage.workspace}:{stage.work_dir}"]
    # What it prints is read as it comes; the engine need not keep it.
    host: dict[str, Any] = {"Init": True, "LogConfig": {"Type": "none"}}
    if network:
        aliases = {network: {"Aliases": [stage.hostname]}} if stage.hostname else {}
        place["NetworkingConfig"] = {"EndpointsConfig": aliases}
        host["NetworkMode"] = network
    command: dict[str, Any] = {}
    if stage.commands:
        command = {"Entrypoint": [stage.shell, "/entrypoint/entrypoint.sh"], "Cmd": []}
        binds.append(f"{_script(stage, folder)}:/entrypoint:ro")
    if stage.rights.credentials:
        binds.append(f"{_credentials(stage, folder)}:/credentials:ro")
    if stage.rights.privileged:
        host["Privileged"] = True
    if stage.rights.engine:
        place["User"] = f"{os.getuid()}:{os.getgid()}"
        binds += _engine(socket)
    return {
        "Image": stage.image,
        "Env": _pairs(_about_image(stage, found) | dict(stage.environment)),
        "Labels": labels,
        "HostConfig": host | {"Binds": binds},
        **place,
        **command,
    }


def _about_image(stage: StageRun, found: Found) -> dict[str, str]:
    kind = "SERVICE" if stage.hostname else "STAGE"
    return {
        f"ESTAFETTE_{kind}_IMAGE_SHA": found.image.digest.partition(":")[2],
        f"ESTAFETTE_{kind}_IMAGE_CREATED_DATE": found.created,
    }


def _script(stage: StageRun, folder: Path) -> Path:
    text = script(stage.shell, stage.commands, foreground=stage.run_commands_in_foreground)
    return _filled(folder / "entrypoint", {"entrypoint.sh": text}, mode=0o755)


def _credentials(stage: StageRun, folder: Path) -> Path:
    return _filled(folder / "credentials", stage.rights.credentials, mode=0o644)


def _filled(folder: Path, files: Mapping[str, str], *, mode: int) -> Path:
    """Make a folder that anybody may read who gets to it: the user of a container is not known."""
    folder.mkdir()
    for name, text in files.items():
        file = folder / name
        file.write_text(text)
        file.chmod(mode)
    folder.chmod(0o755)
    return folder


def _engine(socket: str) -> list[str]:
    client = [f"{CLIENT}:{CLIENT_INSIDE}:ro"] if CLIENT.exists() else []
    return [f"{socket}:{SOCKET}", *client] if socket else client


def _pairs(environment: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items()]

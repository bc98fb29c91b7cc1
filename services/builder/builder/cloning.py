"""Getting the revision into the workspace with the git program."""

import asyncio
import base64
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable
from pathlib import Path

from estafette_common.jobs.plan import Plan

DEPTH = 50
"""Commits of the branch that are fetched, as in the reference."""

PAUSES = (1.0, 3.0)
"""Seconds before the second and the third try."""

Say = Callable[[str], None]


class CloneError(Exception):
    """The revision cannot be had; the message says what git said."""


async def clone(plan: Plan, *, token: str, workspace: Path, say: Say, inherited: dict[str, str]) -> None:
    """Fill the (empty) workspace with the plan's revision on its branch. Raises CloneError."""
    environment = inherited | _configuration(token)
    say(f"clone {plan.clone_url}, branch {plan.branch}, revision {plan.revision}")
    clone_branch = [
        "clone", "--quiet", f"--depth={DEPTH}", "--no-tags", "--single-branch", f"--branch={plan.branch}", "--",
        plan.clone_url, ".",
    ]  # fmt: skip
    await _git(clone_branch, workspace, environment, say, pauses=PAUSES)
    if _head(workspace, plan.branch) != plan.revision:
        fetch = ["fetch", "--quiet", f"--depth={DEPTH}", "--no-tags", "origin", plan.revision]
        await _git(fetch, workspace, environment, say, pauses=PAUSES)
        await _git(["checkout", "--quiet", "-B", plan.branch, plan.revision], workspace, environment, say)


class Cloning:
    """A clone under way since before anybody could hear of it: connecting to NATS and Docker takes as long."""

    def __init__(self, plan: Plan, *, token: str, workspace: Path, inherited: dict[str, str]) -> None:
        self._said: list[str] = []
        self._say: Say = self._said.append
        self._task = asyncio.ensure_future(
            clone(plan, token=token, workspace=workspace, say=self._heard, inherited=inherited)
        )

    async def follow(self, say: Say) -> None:
        """Say what git said so far and what it says from now on; return when it is done. Raises CloneError."""
        for text in self._said:
            say(text)
        self._say = say
        await self._task

    def cancel(self) -> None:
        """End it."""
        self._task.cancel()

    def _heard(self, text: str) -> None:
        self._say(text)


def _configuration(token: str) -> dict[str, str]:
    """Return git's configuration as environment: where no process list and no file shows the token."""
    settings = {"safe.directory": "*", "advice.detachedHead": "false"}
    if token:
        credentials = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        settings["http.extraHeader"] = f"Authorization: Basic {credentials}"
    numbered = {"GIT_CONFIG_COUNT": str(len(settings)), "GIT_TERMINAL_PROMPT": "0"}
    for place, (name, value) in enumerate(settings.items()):
        numbered |= {f"GIT_CONFIG_KEY_{place}": name, f"GIT_CONFIG_VALUE_{place}": value}
    return numbered


def _head(workspace: Path, branch: str) -> str:
    file = workspace / ".git" / "refs" / "heads" / branch
    return file.read_text().strip() if file.is_file() else ""


async def _git(
    arguments: list[str], workspace: Path, environment: dict[str, str], say: Say, *, pauses: tuple[float, ...] = ()
) -> None:
    for pause in (*pauses, None):
        process = await asyncio.create_subprocess_exec(
            "git", *arguments, cwd=workspace, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
        for line in output.decode(errors="replace").splitlines():
            say(line)
        if process.returncode == 0:
            return
        if pause is None:
            raise CloneError(f"git {arguments[0]} failed with exit code {process.returncode}")
        await asyncio.sleep(pause)

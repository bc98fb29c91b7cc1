"""Getting the revision into the workspace with the git program."""

import asyncio
import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from estafette_common.jobs.plan import Plan

from builder.programs import Program

DEPTH = 50
"""Commits that are fetched, as in the reference."""

PAUSES = (1.0, 3.0)
"""Seconds before the second and the third try."""

REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""A commit by its SHA-1 or SHA-256."""

TIPS_ONLY = "unadvertised object"
"""What git says of a server that gives nothing but the tips of branches and tags."""

Say = Callable[[str], None]


class CloneError(Exception):
    """The revision cannot be had; the message says which step failed, and git's own words are said before."""


async def clone(plan: Plan, *, token: str, workspace: Path, say: Say, inherited: dict[str, str], group: Path) -> None:
    """Fill the (empty) workspace with the plan's revision on its branch. Raises CloneError.

    `group` is the file that names the process group that runs.
    """
    say(f"clone {plan.clone_url}, branch {plan.branch}, revision {plan.revision}")
    if REVISION.fullmatch(plan.revision) is None:
        raise CloneError(f"git clone failed: {plan.revision!r} is no revision")
    git = _Git(workspace, inherited | _configuration(plan.clone_url, token), say, group)
    await git("init", "--quiet", "--template=", f"--initial-branch={plan.branch}")
    with (workspace / ".git" / "config").open("a") as configuration:
        configuration.write(_remote(plan.clone_url, plan.branch))
    await _fetch_patiently(git, plan)
    await git("reset", "--quiet", "--hard", f"refs/remotes/origin/{plan.branch}")


def _remote(url: str, branch: str) -> str:
    """Return what `git clone` writes into the configuration: where the branch comes from."""
    return f"""\
[remote "origin"]
	url = {_quoted(url)}
	fetch = {_quoted(f"+refs/heads/{branch}:refs/remotes/origin/{branch}")}
[branch {_quoted(branch)}]
	remote = origin
	merge = {_quoted(f"refs/heads/{branch}")}
"""


def _quoted(text: str) -> str:
    """Return a text as a value in git's configuration (git-config(1), Syntax)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


async def _fetch_patiently(git: "_Git", plan: Plan) -> None:
    for pause in PAUSES:
        try:
            return await _fetch(git, plan)
        except CloneError:
            await asyncio.sleep(pause)
    return await _fetch(git, plan)


async def _fetch(git: "_Git", plan: Plan) -> None:
    """Fetch the revision, whatever became of its branch."""
    fetch = ["fetch", "--quiet", f"--depth={DEPTH}", "--no-tags"]
    if _is_local(plan.clone_url):  # safe.directory does not reach the program at the other end
        fetch.append("--upload-pack=git -c safe.directory='*' upload-pack")
    place = f"refs/remotes/origin/{plan.branch}"
    try:
        await git(*fetch, "--", "origin", f"+{plan.revision}:{place}")
    except CloneError:
        if TIPS_ONLY not in git.last_words:
            raise
        await git(*fetch, "--", "origin", f"+refs/heads/{plan.branch}:{place}")
        await git("update-ref", place, plan.revision)


class Cloning:
    """A clone under way since before anybody could hear of it: connecting to NATS and Docker takes as long."""

    def __init__(self, plan: Plan, *, token: str, workspace: Path, inherited: dict[str, str], group: Path) -> None:
        self._said: list[str] = []
        self._say: Say = self._said.append
        self._task = asyncio.ensure_future(
            clone(plan, token=token, workspace=workspace, say=self._heard, inherited=inherited, group=group)
        )

    async def follow(self, say: Say) -> None:
        """Say what git said so far and what it says from now on; return when it is done. Raises CloneError."""
        for text in self._said:
            say(text)
        self._say = say
        await self._task

    async def cancel(self) -> None:
        """End it, if it still runs."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def _heard(self, text: str) -> None:
        self._say(text)


def _configuration(url: str, token: str) -> dict[str, str]:
    """Return git's configuration as environment: where no process list and no file shows the token.

    The token is for the server of the URL alone: git would show it to whom that server sends it, too.
    """
    settings = {"safe.directory": "*", "advice.detachedHead": "false", "gc.auto": "0", "maintenance.auto": "false"}
    if token:
        server = urlsplit(url)
        credentials = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        settings[f"http.{server.scheme}://{server.netloc}/.extraHeader"] = f"Authorization: Basic {credentials}"
        settings["http.followRedirects"] = "false"
    numbered = {"GIT_CONFIG_COUNT": str(len(settings)), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    for place, (name, value) in enumerate(settings.items()):
        numbered |= {f"GIT_CONFIG_KEY_{place}": name, f"GIT_CONFIG_VALUE_{place}": value}
    return numbered


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "/"))


@dataclass(slots=True)
class _Git:
    """Runs git, one command after the other."""

    workspace: Path
    environment: dict[str, str]
    say: Say
    group: Path
    last_words: str = ""

    async def __call__(self, *arguments: str) -> None:
        """Run a command and say what it says; CloneError when it fails."""
        try:
            program = await Program.start(
                ["git", *arguments], where=self.workspace, environment=self.environment, errors_apart=False
            )
        except (OSError, ValueError) as error:
            raise CloneError(f"git clone failed: git cannot be started: {error}") from error
        self.group.write_text(f"{program.group}\n")
        try:
            output = await program.streams[0].read()
            code = await program.wait()
        finally:
            program.kill()
            program.close()
        self.group.write_text("")
        self.last_words = output.decode(errors="replace")
        for line in self.last_words.splitlines():
            self.say(line)
        if code:
            raise CloneError(f"git clone failed: git {arguments[0]} ended with exit code {code}")

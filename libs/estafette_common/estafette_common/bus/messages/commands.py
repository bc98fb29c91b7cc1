"""COMMANDS: what someone asks for, and the answer."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, StringConstraints

from estafette_common.bus import subjects
from estafette_common.bus.messages.message import Message
from estafette_common.jobs.lifecycle import Kind, Status
from estafette_common.jobs.plan import Repository

Inbox = Annotated[str, StringConstraints(pattern=r"^(_INBOX\.[A-Za-z0-9._-]+)?$", max_length=200)]
"""Where an answer may go. Nothing but an inbox, for the one who answers may publish anywhere."""


class Command(Message):
    """What a person, or a program for one, asks for. Its envelope's id names the request, however often it is sent."""

    reply_to: Inbox = ""
    """Where the answer goes, with core NATS; empty: nobody waits for one."""
    by: str = ""
    """Who asks, for people: an address or a name."""


class StartBuild(Command):
    """Build a branch, as it is or at a revision of it. Done by manifest-planner."""

    TYPE: ClassVar = "estafette.command.build.start.v1"
    SUBJECT: ClassVar = subjects.COMMAND_BUILD_START

    repository: Repository
    branch: str
    revision: str = ""
    """40 hexadecimal digits; empty: what the branch points to."""


class Rebuild(Command):
    """Build a version once more, of which every build failed or was canceled. Done by manifest-planner."""

    TYPE: ClassVar = "estafette.command.build.rebuild.v1"
    SUBJECT: ClassVar = subjects.COMMAND_BUILD_REBUILD

    repository: Repository
    version: str
    from_failed: bool = False
    """Whether stages are passed over that had succeeded and are `resumable`; refused where none can be."""


class Cancel(Command):
    """End a job that did not end yet. Done by manifest-planner."""

    TYPE: ClassVar = "estafette.command.cancel.v1"
    SUBJECT: ClassVar = subjects.COMMAND_CANCEL

    kind: Kind
    job_id: str
    reason: str = ""
    """For people."""
    superseded: bool = False
    """Whether a newer job takes its place; nobody asked for its end."""


class StartRelease(Command):
    """Release a build of a pipeline to a target. Done by manifest-planner."""

    TYPE: ClassVar = "estafette.command.release.start.v1"
    SUBJECT: ClassVar = subjects.COMMAND_RELEASE_START

    repository: Repository
    target: str
    action: str = ""
    version: str = "latest"
    """Of a build that succeeded; `latest`, or `current` for what is live there."""


class StartBot(Command):
    """Run a bot of a pipeline. Done by manifest-planner."""

    TYPE: ClassVar = "estafette.command.bot.start.v1"
    SUBJECT: ClassVar = subjects.COMMAND_BOT_START

    repository: Repository
    bot: str
    branch: str = ""
    """Whose newest build it runs with; empty, or one without builds: the newest build of the pipeline."""


class Error(StrEnum):
    """Why a command was not done; sending it again cannot help."""

    NOT_FOUND = "not-found"
    INVALID = "invalid"
    REFUSED = "refused"


class Answer(BaseModel):
    """What became of a command."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    TYPE: ClassVar[str] = "estafette.command.answered.v1"

    error: Error | None = None
    message: str = ""
    """For people."""
    kind: Kind | None = None
    job_id: str | None = None
    status: Status | None = None
    version: str | None = None


class Lose(Message):
    """End a job as lost. Asked by hanging-job-cleaner, done by manifest-planner."""

    TYPE: ClassVar = "estafette.job.lose.v1"
    SUBJECT: ClassVar = subjects.COMMAND_LOSE

    kind: Kind
    job_id: str
    reason: str
    """For people: what was looked for and not found."""

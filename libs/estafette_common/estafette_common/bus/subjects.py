"""Every subject and every stream of the system, and how a name becomes a token of a subject.

A subject template names fields of its message in braces. Filled in, it is where the message is published; with a
`*` for each field, it is what a consumer filters by.

| subject | published by | read by |
|---|---|---|
| `event.github.{kind}` | webhook-ingress | manifest-planner (triggers), external subscribers |
| `event.git.push` | webhook-ingress | manifest-planner |
| `event.cron.tick` | cron-sender | cron-sender (its memory), manifest-planner (triggers), external subscribers |
| `event.pipeline.{event}` | manifest-planner | notifier, manifest-planner (triggers), external subscribers |
| `event.release.{event}` | manifest-planner | manifest-planner (triggers), external subscribers |
| `event.bitbucket.{kind}` | whoever hears of it | manifest-planner (triggers), external subscribers |
| `event.pubsub.message` | whoever hears of it | manifest-planner (triggers), external subscribers |
| `event.registry.push` | whoever hears of it | manifest-planner (triggers), external subscribers |
| `event.decision.{subject_kind}` | manifest-planner | external subscribers |
| `event.cleaning.{action}` | hanging-job-cleaner | external subscribers |
| `command.release.start` | whoever may release | manifest-planner |
| `command.bot.start` | whoever may run a bot | manifest-planner |
| `command.trigger.fire` | manifest-planner (what an event matched) | manifest-planner |
| `command.{kind}.{job_id}.lose` | hanging-job-cleaner | manifest-planner |
| `command.build.start` | whoever wants a build | manifest-planner |
| `command.build.rebuild` | whoever wants a build once more | manifest-planner |
| `command.{kind}.cancel` | whoever may end a job, hanging-job-cleaner (over its time limit) | manifest-planner |
| `command.replay.{service}` | whoever replays dead letters | the service whose consumer had buried it |
| `job.{kind}.{job_id}.requested` | manifest-planner | job-dispatcher |
| `job.{kind}.{job_id}.dispatched` | job-dispatcher | manifest-planner |
| `job.{kind}.{job_id}.failed-to-start` | job-dispatcher, hanging-job-cleaner (again) | manifest-planner |
| `job.{kind}.{job_id}.waiting` | job-dispatcher | manifest-planner |
| `job.{kind}.{job_id}.lost` | job-dispatcher | manifest-planner, job-dispatcher (its memory) |
| `job.{kind}.{job_id}.cancel` | manifest-planner | builder, job-dispatcher |
| `job.{kind}.{job_id}.gone` | job-dispatcher, hanging-job-cleaner (again) | manifest-planner |
| `job.{kind}.{job_id}.started` | builder | manifest-planner |
| `job.{kind}.{job_id}.stage` | builder | external subscribers |
| `job.{kind}.{job_id}.heartbeat` | builder | manifest-planner |
| `job.{kind}.{job_id}.finished` | builder, hanging-job-cleaner (again) | manifest-planner |
| `log.{kind}.{job_id}` | builder, manifest-planner (why there was no job) | log-sink, api |
| `dead.>` followed by the subject that could not be handled | every consumer | people |
"""

from dataclasses import dataclass
from functools import lru_cache
from string import Formatter
from urllib.parse import quote

GITHUB_EVENT = "event.github.{kind}"
GIT_PUSH = "event.git.push"
CRON_TICK = "event.cron.tick"
PIPELINE_CHANGED = "event.pipeline.{event}"
RELEASE_CHANGED = "event.release.{event}"
BITBUCKET_EVENT = "event.bitbucket.{kind}"
PUBSUB_MESSAGE = "event.pubsub.message"
REGISTRY_PUSH = "event.registry.push"
DECISION_MADE = "event.decision.{subject_kind}"
CLEANED = "event.cleaning.{action}"
COMMAND_RELEASE_START = "command.release.start"
COMMAND_BOT_START = "command.bot.start"
TRIGGER_FIRE = "command.trigger.fire"
COMMAND_LOSE = "command.{kind}.{job_id}.lose"
COMMAND_BUILD_START = "command.build.start"
COMMAND_BUILD_REBUILD = "command.build.rebuild"
COMMAND_CANCEL = "command.{kind}.cancel"
COMMAND_REPLAY = "command.replay.{service}"
JOB_REQUESTED = "job.{kind}.{job_id}.requested"
JOB_DISPATCHED = "job.{kind}.{job_id}.dispatched"
JOB_FAILED_TO_START = "job.{kind}.{job_id}.failed-to-start"
JOB_WAITING = "job.{kind}.{job_id}.waiting"
JOB_LOST = "job.{kind}.{job_id}.lost"
JOB_CANCEL = "job.{kind}.{job_id}.cancel"
JOB_GONE = "job.{kind}.{job_id}.gone"
JOB_STARTED = "job.{kind}.{job_id}.started"
JOB_STAGE = "job.{kind}.{job_id}.stage"
JOB_HEARTBEAT = "job.{kind}.{job_id}.heartbeat"
JOB_FINISHED = "job.{kind}.{job_id}.finished"
LOG = "log.{kind}.{job_id}"
DEAD = "dead"

DAY = 24 * 60 * 60.0
"""Seconds."""

DUPLICATE_WINDOW = 10 * 60.0
"""Seconds a stream remembers message ids; beyond it the deterministic job id keeps a repeat harmless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A JetStream stream. All of them refuse new messages when full: old work is never dropped for new."""

    name: str
    subjects: tuple[str, ...]
    max_age: float
    """Seconds a message is kept."""
    max_bytes: int = -1
    until_handled: bool = False
    """Whether an acknowledged message is removed at once (a work queue)."""


STREAMS = {
    "event": Stream(name="EVENTS", subjects=("event.>",), max_age=30 * DAY),
    "command": Stream(name="COMMANDS", subjects=("command.>",), max_age=30 * DAY, until_handled=True),
    "job": Stream(name="JOBS", subjects=("job.>",), max_age=30 * DAY),
    "log": Stream(name="LOGS", subjects=("log.>",), max_age=7 * DAY, max_bytes=20 * 1024**3),
    "dead": Stream(name="DEAD", subjects=("dead.>",), max_age=90 * DAY),
}
"""By the first token of the subject."""


def stream_of(subject: str) -> str:
    """Return the name of the stream that stores the subject; KeyError if none does."""
    return STREAMS[subject.partition(".")[0]].name


def token(name: str) -> str:
    """Return the name as one token of a subject.

    Whatever could split or widen a subject (`.`, `*`, `>`, blanks, control characters) is percent-encoded, so
    different names give different tokens. ValueError for an empty name, which no token can carry.
    """
    if not name:
        raise ValueError("an empty name cannot be a token of a subject")
    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E")


def fill(template: str, **fields: str) -> str:
    """Return the template with each field encoded as a token."""
    return template.format(**{name: token(value) for name, value in fields.items()})


@lru_cache
def fields(template: str) -> tuple[str, ...]:
    """Return the names of the fields in a template, in order."""
    return tuple(name for _, name, _, _ in Formatter().parse(template) if name)


def pattern(template: str) -> str:
    """Return the subject filter that all messages of the template match."""
    return template.format(**dict.fromkeys(fields(template), "*"))

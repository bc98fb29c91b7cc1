"""COMMANDS: what someone asks for."""

from typing import ClassVar

from estafette_common.bus import subjects
from estafette_common.bus.messages.message import Message
from estafette_common.jobs.lifecycle import Kind


class Lose(Message):
    """End a job as lost. Asked by hanging-job-cleaner, done by manifest-planner."""

    TYPE: ClassVar = "estafette.job.lose.v1"
    SUBJECT: ClassVar = subjects.COMMAND_LOSE

    kind: Kind
    job_id: str
    reason: str
    """For people: what was looked for and not found."""

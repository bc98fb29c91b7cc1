"""What triggers that fired ask for."""

from typing import Any, ClassVar

from estafette_common.bus import subjects
from estafette_common.bus.messages.message import Message
from estafette_common.jobs.plan import Repository


class Fire(Message):
    """An event matched a trigger: do what the trigger says. Told by manifest-planner to itself.

    One for each trigger, so that one that cannot be followed keeps no other back. It carries the trigger as it was
    when the event came.
    """

    TYPE: ClassVar = "estafette.trigger.fire.v1"
    SUBJECT: ClassVar = subjects.TRIGGER_FIRE

    repository: Repository
    """Whose manifest has the trigger."""
    trigger: dict[str, Any]
    """As in the manifest, with its defaults."""
    digest: str
    """Names the trigger among those of its pipeline."""
    event: dict[str, Any]
    """What fired, as stages are told of it."""
    event_id: str
    """Of the message that the trigger matched."""
    reason: str
    """For people: why it fires."""
    hops: int = 0
    """How many triggers fired one after the other, this one included."""

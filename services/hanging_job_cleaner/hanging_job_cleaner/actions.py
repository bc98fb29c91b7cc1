"""What the cleaner does, as a value. Pure."""

from dataclasses import dataclass

from estafette_common.bus import identity
from estafette_common.bus.messages.events import Cleaned, CleaningAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something to mend."""

    do: CleaningAction
    reason: str
    """For people: what was found."""
    kind: str = ""
    job_id: str = ""
    name: str = ""
    """Of the object in the runtime; empty where the action is about the build, release or bot itself."""
    which: str = ""
    """Tells it from an earlier one of its name: a time, a uid, a number."""

    @property
    def id(self) -> str:
        """The id of what is told of it: the same for every replica, and for every look until it is done."""
        return identity.derive("/".join((self.kind, self.job_id, self.name, self.which)), self.do)

    def event(self, *, dry_run: bool) -> Cleaned:
        """Return what is told of it."""
        return Cleaned(
            action=self.do,
            kind=self.kind,
            job_id=self.job_id,
            name=self.name,
            reason=self.reason,
            dry_run=dry_run,
        )

"""Where in a log something belongs."""

from typing import NamedTuple


class Place(NamedTuple):
    """A run of a stage or service."""

    stage: str
    parent: str = ""
    """The stage that it runs inside, or beside as a service."""
    service: bool = False
    run: int = 0
    """How often it was tried again."""

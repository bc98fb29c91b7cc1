"""Which builds exclude each other, and what becomes of them then."""

import re
from enum import StrEnum

BRANCH = re.compile(r"\{\{\s*branch\s*\}\}")

EACH_BRANCH = "{{branch}}"
"""The group where a manifest names none: builds of different branches do not know each other."""


class Policy(StrEnum):
    """What a build does while others of its group are there."""

    QUEUE_ALL = "queue-all"
    """Waits for its turn."""
    QUEUE_LATEST = "queue-latest"
    """Waits; those that wait already are canceled."""
    CANCEL_SUPERSEDED = "cancel-superseded"
    """Cancels all older ones, and begins when they are gone."""
    PARALLEL = "parallel"
    """Begins at once."""


def group_of(group: str, *, branch: str) -> str:
    """Return the name of the group of a build; one of another pipeline is another group."""
    return BRANCH.sub(lambda _: branch, group or EACH_BRANCH)


def fault_of_group(group: str) -> str:
    """Return what is wrong with the group in a manifest, or nothing."""
    if "{{" in BRANCH.sub("", group):
        return "holds something else in double braces than {{branch}}"
    return ""

"""Which pipeline a checkout belongs to, from the address of its remote. Pure."""

import re
from typing import NamedTuple

ADDRESS = re.compile(r"(?:git@([^:/]+):|https://(?:[^@/]+@)?([^/]+)/)([^/]+)/(.+?)(?:\.git)?/?")


class Origin(NamedTuple):
    """A repository; all parts are empty when the address is of another form."""

    source: str = ""
    owner: str = ""
    name: str = ""


def origin(url: str) -> Origin:
    """Return the repository of `git@host:owner/name.git` or `https://host/owner/name.git`."""
    found = ADDRESS.fullmatch(url.strip())
    return Origin(found[1] or found[2], found[3], found[4]) if found else Origin()

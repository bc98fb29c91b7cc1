"""What the folder tells of the one who asks: which pipeline, which branch, who."""

import getpass
import subprocess

from estafette_common.jobs.origin import Origin, origin
from estafette_common.jobs.plan import Repository


class UnknownPipelineError(Exception):
    """It cannot be told which pipeline is meant; the message says what to write."""


def pipeline(written: str) -> Repository:
    """Return the pipeline that is written as `source/owner/name`, or else that of the checkout."""
    if written:
        parts = written.split("/")
        if len(parts) != 3 or not all(parts):
            raise UnknownPipelineError(f"{written!r} is no pipeline; write it as github.com/acme/shop")
        return Repository(source=parts[0], owner=parts[1], name=parts[2])
    found = origin(_git("remote", "get-url", "origin"))
    if found == Origin():
        raise UnknownPipelineError("this folder is no checkout of a pipeline; write --pipeline github.com/acme/shop")
    return Repository(source=found.source, owner=found.owner, name=found.name)


def branch() -> str:
    """Return the branch of the checkout; empty where it is on none."""
    return _git("symbolic-ref", "--quiet", "--short", "HEAD")


def person() -> str:
    """Return the address that git knows, or else the name of the user."""
    return _git("config", "user.email") or getpass.getuser()


def _git(*arguments: str) -> str:
    asked = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else ""

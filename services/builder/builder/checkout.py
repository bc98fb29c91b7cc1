"""What git tells of the folder that a job is run in by hand."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from estafette_common.jobs.origin import Origin, origin
from estafette_common.jobs.plan import Repository
from estafette_common.manifest.findings import FILE

NO_REVISION = "0" * 40

USUAL_BRANCH = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A folder with a manifest, and where its content belongs."""

    folder: Path
    manifest: str
    """The text of its manifest."""
    repository: Repository
    branch: str
    revision: str
    """The commit that the folder began with; zeros without any."""
    person: str
    """The e-mail address of who commits here; may be empty."""


def find(start: Path) -> Checkout | None:
    """Return the nearest folder with a manifest, from `start` upwards; none has one: nothing.

    Raises OSError and UnicodeDecodeError when the manifest cannot be read.
    """
    folder = next((each for each in (start, *start.parents) if (each / FILE).is_file()), None)
    if folder is None:
        return None
    return Checkout(
        folder=folder,
        manifest=(folder / FILE).read_text(encoding="utf-8"),
        repository=_repository(folder),
        branch=_git(folder, "symbolic-ref", "--short", "--quiet", "HEAD") or USUAL_BRANCH,
        revision=_git(folder, "rev-parse", "--verify", "--quiet", "HEAD") or NO_REVISION,
        person=_git(folder, "config", "user.email"),
    )


def _repository(folder: Path) -> Repository:
    """Return the repository of the remote; of a folder without any, one that is called as the folder."""
    found = origin(_git(folder, "remote", "get-url", "origin"))
    if found == Origin():
        found = Origin("local", "local", folder.name or "local")
    return Repository(**found._asdict())


def _git(folder: Path, *question: str) -> str:
    """Return what git answers; nothing where it has no answer, or is not there."""
    try:
        asked = subprocess.run(["git", "-C", str(folder), *question], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""

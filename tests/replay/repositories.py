"""Bare repositories whose commits have the same revisions wherever, and whenever, they are made."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

WHO = "Robin <robin@example.com> 1790000000 +0000"


class Repositories:
    """Repositories of acme below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def clone_url(self) -> str:
        """Where they are cloned from, as the planner is told."""
        return f"file://{self.folder}/{{owner}}/{{name}}.git"

    def commit(self, name: str, files: Mapping[str, str], *, branch: str) -> str:
        """Replace the files of a branch by these in a new commit; returns its revision."""
        path = self.folder / "acme" / f"{name}.git"
        if not path.exists():
            path.mkdir(parents=True)
            _git(path, "init", "--quiet", "--bare", "--initial-branch=main")
        ref = f"refs/heads/{branch}"
        before = _git(path, "rev-parse", "--verify", "--quiet", ref, check=False)
        lines = [f"commit {ref}", f"committer {WHO}", "data 6", "Change", *([f"from {before}"] if before else [])]
        lines.append("deleteall")
        for file, text in files.items():
            lines += [f"M 100644 inline {file}", f"data {len(text.encode())}", text]
        _git(path, "fast-import", "--quiet", given="\n".join(lines) + "\n")
        return _git(path, "rev-parse", ref)


def _git(where: Path, *arguments: str, given: str = "", check: bool = True) -> str:
    command = ["git", "-C", str(where), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=check).stdout.strip()

"""Which stages earlier attempts finished: noted beside the workspace, so that both are kept or lost together."""

import os
import shutil
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import msgspec
from estafette_common.jobs.lifecycle import StageStatus
from estafette_common.jobs.plan import PlannedStage

ENDS_WELL = frozenset({StageStatus.SUCCEEDED, StageStatus.SKIPPED})


class Finished(msgspec.Struct, frozen=True):
    """A stage at the top that came to its end."""

    stage: str
    status: StageStatus


def kept(stages: Sequence[PlannedStage], finished: Sequence[Finished]) -> int:
    """Return how many stages, from the first on, are not run again. Pure."""
    return sum(1 for _ in takewhile(_is_kept, zip(stages, finished, strict=False)))


def _is_kept(pair: tuple[PlannedStage, Finished]) -> bool:
    stage, end = pair
    if stage.name != end.stage or any(service.multi_stage for service in stage.services):
        return False
    return end.status is StageStatus.SKIPPED or (stage.resumable and end.status is StageStatus.SUCCEEDED)


def is_worth_keeping(stages: Sequence[PlannedStage], finished: Sequence[Finished]) -> bool:
    """Return whether a job that ended so leaves something that another could go on after. Pure."""
    ended_well = len(finished) >= len(stages) and all(end.status in ENDS_WELL for end in finished)
    return not ended_well and kept(stages, finished) > 0


class Progress:
    """Remembers ends of stages in a file, one JSON text per line."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> list[Finished]:
        """Return the ends in their order; a line that a crash cut off is none."""
        if not self._file.exists():
            return []
        *lines, _ = self._file.read_bytes().split(b"\n")
        return [msgspec.json.decode(line, type=Finished) for line in lines]

    def keep(self, finished: Sequence[Finished]) -> None:
        """Forget all ends but these."""
        fresh = self._file.with_name(f"{self._file.name}.fresh")
        fresh.write_bytes(b"".join(map(_line, finished)))
        fresh.replace(self._file)

    def add(self, stage: str, status: StageStatus) -> None:
        """Remember an end, also when the machine is switched off."""
        with self._file.open("ab") as output:
            output.write(_line(Finished(stage, status)))
            output.flush()
            os.fsync(output.fileno())


class Earlier(NamedTuple):
    """What earlier attempts left for this one."""

    progress: Progress | None
    """Where ends of stages are noted, if any stage may be passed over."""
    kept: int
    """How many stages need not be run again."""


def take_up(stages: Sequence[PlannedStage], workspace: Path) -> Earlier:
    """Return what earlier attempts left. If that is nothing the workspace is made an empty folder."""
    if not any(stage.resumable for stage in stages):
        _empty(workspace)
        return Earlier(None, 0)
    progress = Progress(workspace.with_name("progress"))
    finished = progress.read()
    count = kept(stages, finished)
    progress.keep(finished[:count])
    if not count:
        _empty(workspace)
    return Earlier(progress, count)


def _empty(workspace: Path) -> None:
    workspace.mkdir(parents=True, exist_ok=True)
    for entry in workspace.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _line(finished: Finished) -> bytes:
    return msgspec.json.encode(finished) + b"\n"

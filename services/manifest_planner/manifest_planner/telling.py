"""What the planner says in the place of a builder. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from estafette_common.bus.messages.logs import CONTROL_ATTEMPT, Change, End, Line, LogChunk
from estafette_common.jobs.lifecycle import Kind, Outcome, StageStatus


def control_log(
    job_id: str, step: str, lines: Sequence[str], *, outcome: Outcome, at: datetime, kind: Kind = Kind.BUILD
) -> LogChunk:
    """Return the log of a job that no builder can explain: one step with its reasons, and the end."""
    time = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    texts = [text for line in lines for text in line.splitlines()]
    said = [
        Line(stage=step, number=number, time=time, text=text, stream="stderr")
        for number, text in enumerate(texts, start=1)
    ]
    status = StageStatus.CANCELED if outcome is Outcome.CANCELED else StageStatus.FAILED
    ended = Change(stage=step, status=status, time=time, exit_code=1, auto_injected=True)
    return LogChunk(
        kind=kind,
        job_id=job_id,
        attempt=CONTROL_ATTEMPT,
        number=1,
        first=1,
        entries=[*said, ended, End(outcome=outcome)],
    )

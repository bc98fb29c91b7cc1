"""What a forge is told of a build. Pure."""

from estafette_common.bus.messages.events import PipelineChanged, PipelineEvent
from estafette_common.github.client import CommitStatus
from estafette_common.jobs.lifecycle import Outcome

CONTEXT = "estafette"

LONGEST_DESCRIPTION = 140
"""Characters that GitHub takes."""

STATES = {
    Outcome.SUCCEEDED: "success",
    Outcome.FAILED: "failure",
    Outcome.CANCELED: "error",
    Outcome.LOST: "error",
    Outcome.REJECTED: "error",
    Outcome.TIMED_OUT: "error",
}
"""Whatever is no success is never shown as one."""

WORDS = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.FAILED: "failed",
    Outcome.CANCELED: "was canceled",
    Outcome.LOST: "was lost",
    Outcome.REJECTED: "was rejected",
    Outcome.TIMED_OUT: "ran too long",
}


def due(change: PipelineChanged, *, server_url: str) -> list[CommitStatus]:
    """Return the statuses that a commit must have been given after the change, in order."""
    pending = _status(change, "pending", f"Build {change.version} is under way", server_url)
    if change.event is PipelineEvent.STARTED:
        return [pending]
    outcome = change.outcome or Outcome.FAILED
    words = f"Build {change.version} {WORDS[outcome]}" + (f": {change.reason}" if change.reason else "")
    return [pending, _status(change, STATES[outcome], words, server_url)]


def _status(change: PipelineChanged, state: str, words: str, server_url: str) -> CommitStatus:
    return CommitStatus(
        state=state,
        target_url=f"{server_url}/pipelines/{change.repository.pipeline}/builds/{change.build_id}",
        description=words[:LONGEST_DESCRIPTION],
        context=CONTEXT,
    )

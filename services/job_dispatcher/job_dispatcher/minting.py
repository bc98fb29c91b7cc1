"""Signing the NATS credentials of jobs."""

from datetime import datetime, timedelta
from pathlib import Path

from estafette_common.bus.credentials import Key, job_credential
from estafette_common.jobs.plan import Plan

ATTEMPTS = 3
"""A job whose builder died is started again with its credential; each attempt has the whole time."""

SLACK = timedelta(hours=1)
"""For getting the job started, and for telling its end to a NATS that was away."""


class Mint:
    """Makes the credential of a job: it may tell of that job and hear of it, and expires after it."""

    def __init__(self, seed_file: Path | None) -> None:
        """Take the seed of the jobs' account; without one, jobs get no credential. ValueError if it holds none."""
        self._account = Key(seed_file.read_text()) if seed_file else None

    def credential(self, plan: Plan, *, now: datetime) -> str:
        """Return the credential as the text of a NATS credentials file; nothing when jobs need none."""
        if self._account is None:
            return ""
        expires = now + ATTEMPTS * timedelta(seconds=plan.timeout) + SLACK
        return job_credential(self._account, kind=plan.kind, job_id=plan.job_id, expires=expires)

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from estafette_common.bus import accounts
from estafette_common.jobs.lifecycle import Kind
from estafette_local.plans import plan
from job_dispatcher.minting import Mint

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def seed_file(tmp_path: Path) -> Path:
    accounts.make(tmp_path)
    return tmp_path / accounts.JOBS_SEED


def claims(credential: str) -> dict[str, Any]:
    body = credential.splitlines()[1].split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(f"{body}=="))
    return found


def test_a_credential_names_the_subjects_of_its_job_and_no_others(seed_file: Path) -> None:
    found = claims(Mint(seed_file).credential(plan(kind=Kind.RELEASE), now=NOW))["nats"]

    assert sorted(found["pub"]["allow"]) == [
        "job.release.7.finished",
        "job.release.7.heartbeat",
        "job.release.7.stage",
        "job.release.7.started",
        "log.release.7",
    ]
    assert sorted(found["sub"]["allow"]) == ["_INBOX_JOB.release.7.>", "job.release.7.cancel"]


def test_a_credential_outlives_every_attempt_of_its_job_by_an_hour(seed_file: Path) -> None:
    found = claims(Mint(seed_file).credential(plan(kind=Kind.RELEASE, timeout=600.0), now=NOW))

    assert found["exp"] == NOW.timestamp() + 3 * 600 + 60 * 60


def test_without_a_seed_jobs_get_no_credential() -> None:
    assert Mint(None).credential(plan(), now=NOW) == ""


def test_a_file_without_a_seed_ends_the_start_and_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "seed"
    file.write_text("hunter2")

    with pytest.raises(ValueError, match="not the seed of a NATS key") as caught:
        Mint(file)

    assert "hunter2" not in repr(caught.value)

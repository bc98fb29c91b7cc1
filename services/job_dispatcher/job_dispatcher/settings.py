"""What job-dispatcher is told."""

from pathlib import Path

from estafette_common.jobs.runtimes.settings import RuntimeSettings
from estafette_common.settings import ServiceSettings
from pydantic import Field, SecretStr


class Settings(RuntimeSettings, ServiceSettings):
    """Settings of job-dispatcher."""

    secret_key: SecretStr = Field(description="That of manifest-planner, which seals the keys of jobs with it.")
    nats_jobs_seed_file: Path | None = Field(
        None, description="Seed of the NATS account of jobs, to sign their credentials; none: they connect without."
    )
    most_attempts: int = Field(
        3, ge=1, description="How often a job is started whose pod was lost; a release that began is not started again."
    )
    cancel_grace: float = Field(
        30.0, description="Seconds that a canceled job has to end by itself before it is removed."
    )

"""What the builder is told."""

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def inherited() -> dict[str, str]:
    """Return the environment of this process without settings of ours, for programs it starts."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}


class Settings(BaseSettings):
    """Settings of a builder and of the builder host."""

    model_config = SettingsConfigDict(env_prefix="ESTAFETTE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    nats_url: str = Field("nats://127.0.0.1:4222", description="Where NATS is; several, separated by commas.")
    nats_credentials: Path | None = Field(None, description="The job's NATS credentials file; none: without (`run`).")
    stage_runtime: str = Field("auto", description="docker, process, or auto: docker where an engine answers.")
    heartbeat: float = Field(5.0, description="Seconds between two signs of life.")
    spool_bytes: int = Field(1024**3, gt=0, description="Bytes of disk for the log of a job while NATS is away.")
    log_level: str = Field("info", description="debug, info, warning or error.")
    otlp_endpoint: str = Field("", description="OTLP/HTTP endpoint for traces; empty: none are sent.")

    plan_file: Path | None = Field(None, description="The plan of the job to run (`run`).")
    key_file: Path | None = Field(None, description="The job's key, 32 bytes (`run`).")
    attempt: int = Field(1, description="Which attempt of the job this is (`run`).")
    begun_before: int | None = Field(
        None,
        description="Sequence of the job's last `started` before this attempt, 0 for none: where there is a later one "
        "the attempt was begun elsewhere, and ends (`run`).",
    )
    cgroups: Path | None = Field(
        None,
        description="Where the control groups of the container are, if it is the job's alone, to measure what that "
        "takes; none: nothing is measured (`run`).",
    )
    workspace: Path = Field(Path("/estafette-work"), description="The work directory (`run`).")
    traceparent: str = Field("", description="W3C trace context that the job continues (`run`).")

    local_socket: Path = Field(Path("/run/estafette/builder.sock"), description="Where the host listens (`host`).")
    jobs_dir: Path = Field(Path("/var/lib/estafette/jobs"), description="A folder for each job (`host`).")
    attempts: int = Field(3, description="How often a job is started whose builder died (`host`).")
    keep_workspaces: float = Field(
        24 * 3600.0,
        ge=0,
        description="Seconds that the workspace of a failed job is kept after the job, if a rebuild can go on in it "
        "(`host`).",
    )
    keep_workspaces_bytes: int = Field(
        10 * 1024**3, ge=0, description="Bytes of disk for these workspaces; the oldest are removed first (`host`)."
    )


class LocalSettings(BaseSettings):
    """What `local` takes of the environment."""

    model_config = SettingsConfigDict(env_prefix="ESTAFETTE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    secret_key: SecretStr = Field(SecretStr(""), description="Opens the secrets in manifests; as of manifest-planner.")

"""What manifest-planner is told."""

from pathlib import Path

from estafette_common.github.settings import GithubSettings
from estafette_common.jobs.stages import MOST_RETRIES
from estafette_common.settings import DatabaseSettings, ServiceSettings
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(GithubSettings, DatabaseSettings, ServiceSettings):
    """Settings of manifest-planner."""

    secret_key: SecretStr = Field(
        description="Base64 of the key of the secrets in manifests: 16, 24 or 32 bytes. Several, separated by commas, "
        "while keys are changed: the first seals, all open."
    )
    secrets_moved_to_github: bool = Field(
        default=False,
        description="Opens secrets of a repository elsewhere to any repository of that name at GitHub, as the "
        "reference does. Unsafe where others may push.",
    )
    config_file: Path | None = Field(
        None, description="Credentials and trusted images, see server-configuration.md; none: nothing is trusted."
    )
    server_url: str = Field("http://127.0.0.1:5000", description="Where people find the page.")
    clone_url: str = Field(
        "https://{source}/{owner}/{name}.git", description="Where repositories are cloned from, with these fields."
    )
    most_stage_retries: int = Field(
        MOST_RETRIES,
        ge=0,
        le=100,
        description="How often a stage may ask, with `retries`, to be tried again when it fails.",
    )
    trigger_builds_from: str = Field(
        "head",
        pattern="^(head|last-build)$",
        description="What a trigger builds of a branch: head (its newest revision) or last-build (the revision and the "
        "manifest of its last build, as the reference does).",
    )
    most_trigger_hops: int = Field(
        10, ge=1, description="How many triggers may fire one after the other; those in a circle end there."
    )
    concurrency_policy: str = Field(
        "parallel",
        pattern="^(queue-all|queue-latest|cancel-superseded|parallel)$",
        description="What builds of a branch, releases to a target and runs of a bot do while others are there, where "
        "the manifest does not say: queue-all, queue-latest, cancel-superseded or parallel.",
    )
    most_running_builds: int = Field(0, ge=0, description="How many builds, releases and bots may run at once; 0: any.")
    most_running_builds_of_a_group: int = Field(
        1, ge=1, description="How many jobs that exclude each other may run at once all the same."
    )
    manifest_source: str = Field(
        "auto",
        pattern="^(auto|github|git)$",
        description="Where manifests are read: github (its API), git (any server), auto: github with a credential.",
    )
    cache_dir: Path = Field(Path("/var/cache/estafette"), description="Folder for clones to read manifests from.")
    cache_days: float = Field(7, gt=0, description="Days after which a clone that nobody used is removed.")
    cache_megabytes: int = Field(
        5_000, ge=0, description="Room for all clones; those that were not used for longest are removed beyond it."
    )

    @property
    def reads_from_github(self) -> bool:
        """Return whether manifests come through GitHub's API."""
        return self.manifest_source == "github" or (self.manifest_source == "auto" and self.is_set)


class WhatIfSettings(BaseSettings):
    """Settings of what tells what an event would lead to."""

    model_config = SettingsConfigDict(env_prefix="ESTAFETTE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    nats_url: str = Field("nats://127.0.0.1:4222", description="Where events are looked up.")
    nats_credentials: Path | None = Field(None, description="NATS credentials file; none: connect without.")
    database_url: str = Field(
        "", description="Where numbers and versions are read; empty: only what is written counts."
    )
    most_trigger_hops: int = Field(10, ge=1, description="As the server has it.")

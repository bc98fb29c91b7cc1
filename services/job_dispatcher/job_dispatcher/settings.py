"""What job-dispatcher is told."""

from estafette_common.jobs.runtimes.settings import RuntimeSettings
from estafette_common.settings import ServiceSettings
from pydantic import Field, SecretStr


class Settings(RuntimeSettings, ServiceSettings):
    """Settings of job-dispatcher."""

    secret_key: SecretStr = Field(description="Base64 of the key that manifest-planner seals the keys of jobs with.")

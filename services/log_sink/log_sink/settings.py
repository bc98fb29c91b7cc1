"""What log-sink is told."""

from estafette_common.settings import DatabaseSettings, ServiceSettings
from pydantic import Field


class Settings(DatabaseSettings, ServiceSettings):
    """Settings of log-sink."""

    compact_interval: float = Field(5.0, description="Seconds between two looks for logs that ended.")

"""What cron-sender is told."""

from estafette_common.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """Settings of cron-sender."""

    cron_catch_up: int = Field(
        24 * 60, ge=0, description="Minutes of an outage whose ticks are sent afterwards; those before are lost."
    )

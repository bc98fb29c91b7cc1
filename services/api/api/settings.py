"""What api is told."""

from estafette_common.settings import DatabaseSettings, ServiceSettings
from pydantic import Field


class Settings(DatabaseSettings, ServiceSettings):
    """Settings of api."""

    viewer_patience: float = Field(
        30.0, description="Seconds in which a viewer of a live log has to take what is sent."
    )

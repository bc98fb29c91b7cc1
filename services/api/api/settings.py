"""What api is told."""

from estafette_common.settings import DatabaseSettings, ServiceSettings
from pydantic import Field


class Settings(DatabaseSettings, ServiceSettings):
    """Settings of api."""

    viewer_queue: int = Field(2_000, description="Pieces of a live log that wait for one slow viewer, at most.")

"""What web is told."""

from pathlib import Path

from estafette_common.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """Settings of web."""

    api_url: str = Field("", description="Where /api is passed on to; empty where an ingress does that.")
    page_dir: Path = Field(Path(__file__).parent / "dist", description="The built page.")

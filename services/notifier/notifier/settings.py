"""What notifier is told."""

from estafette_common.github.settings import GithubSettings
from estafette_common.settings import DatabaseSettings, ServiceSettings
from pydantic import Field


class Settings(GithubSettings, DatabaseSettings, ServiceSettings):
    """Settings of notifier."""

    server_url: str = Field("http://127.0.0.1:5000", description="Where people find the page.")

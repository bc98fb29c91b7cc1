"""How GitHub is reached."""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class GithubSettings(BaseSettings):
    """What a service that talks to GitHub is told. Give a token or an App, or neither to do without GitHub."""

    model_config = SettingsConfigDict(env_prefix="ESTAFETTE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    github_api_url: str = Field("https://api.github.com", description="GitHub's REST API, or a server of your own.")
    github_token: SecretStr = Field(SecretStr(""), description="A token that reads contents and writes statuses.")
    github_app_id: str = Field("", description="Id of a GitHub App to act as, instead of a token.")
    github_app_key_file: Path | None = Field(None, description="The App's private key, PEM.")

    @model_validator(mode="after")
    def _app_has_its_key(self) -> Self:
        if self.github_app_id and (self.github_app_key_file is None or not self.github_app_key_file.is_file()):
            raise ValueError("a GitHub App needs its private key: set ESTAFETTE_GITHUB_APP_KEY_FILE to a readable file")
        return self

    @property
    def web_host(self) -> str:
        """Where GitHub serves git: `github.com`, or the host of an Enterprise server (`https://<host>/api/v3`)."""
        return (urlsplit(self.github_api_url).hostname or "").removeprefix("api.")

    @property
    def is_set(self) -> bool:
        """Return whether there is any credential."""
        return bool(self.github_token.get_secret_value() or self.github_app_id)

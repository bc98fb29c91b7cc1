"""What webhook-ingress is told."""

from estafette_common.settings import ServiceSettings
from pydantic import Field, SecretStr, field_validator


class Settings(ServiceSettings):
    """Settings of webhook-ingress."""

    github_webhook_secret: SecretStr = Field(description="The secret set on GitHub's webhook or App.")
    body_limit: int = Field(
        25 * 1024 * 1024, description="Bytes of the largest body; GitHub itself caps payloads at 25 MB."
    )

    @field_validator("github_webhook_secret")
    @classmethod
    def _not_empty(cls, secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value():
            raise ValueError("must not be empty: with no secret, anybody could start builds")
        return secret

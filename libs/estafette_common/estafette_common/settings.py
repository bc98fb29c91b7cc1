"""Settings come from the environment, are read once at the start and never change."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """What every service is told. A service adds its own in its `settings.py`."""

    model_config = SettingsConfigDict(env_prefix="ESTAFETTE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    nats_url: str = Field("nats://127.0.0.1:4222", description="Where NATS is; several, separated by commas.")
    nats_credentials: Path | None = Field(None, description="NATS credentials file; none: connect without.")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(5000, description="Port for HTTP: the service itself, probes and metrics.")
    log_level: str = Field("info", description="debug, info, warning or error.")
    otlp_endpoint: str = Field("", description="OTLP/HTTP endpoint for traces; empty: none are sent.")
    shutdown_grace: float = Field(20.0, description="Seconds to finish what is in hand after SIGTERM.")


class DatabaseSettings(BaseSettings):
    """What a service that uses the database is told besides."""

    model_config = SettingsConfigDict(env_prefix="ESTAFETTE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: str = Field(
        "postgresql://estafette@127.0.0.1:5432/estafette", description="PostgreSQL or CockroachDB."
    )
    database_connections: int = Field(5, description="Most connections of one process to the database.")

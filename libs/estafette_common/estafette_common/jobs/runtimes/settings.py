"""Which runtime carries the jobs."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from estafette_common.jobs.runtimes import JobRuntime
from estafette_common.jobs.runtimes.local import LocalRuntime


class RuntimeSettings(BaseSettings):
    """What a service that starts or cleans jobs is told."""

    model_config = SettingsConfigDict(env_prefix="ESTAFETTE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    runtime: str = Field("local", pattern="^(local|kubernetes)$", description="Where jobs run: local or kubernetes.")
    local_socket: Path = Field(Path("/run/estafette/builder.sock"), description="Where the builder host listens.")
    kubernetes_namespace: str = Field("estafette-jobs", description="Namespace of the jobs.")
    builder_image: str = Field("estafette/builder:latest", description="Image of the program inside a job.")
    builder_service_account: str = Field("default", description="Service account of the job's pods; needs no rights.")
    builder_user: int = Field(10001, description="User and group id of the job's pods; not root.")
    builder_cpu: str = Field("0.5", description="CPU that a job's pod asks for.")
    builder_memory: str = Field("256Mi", description="Memory that a job's pod asks for.")
    builder_cpu_limit: str = Field("1", description="Most CPU of a job's pod.")
    builder_memory_limit: str = Field("8Gi", description="Most memory of a job's pod.")
    host_network: bool = Field(default=False, description="Use the node's network, on clusters without a pod network.")
    job_nats_url: str = Field("nats://nats:4222", description="Where NATS is, as seen from inside a job.")
    job_stage_runtime: str = Field("auto", description="How stages run inside a job: docker, process or auto.")


def create_runtime(settings: RuntimeSettings) -> JobRuntime:
    """Return the runtime that the settings choose. Its client is imported only then: it takes 70 MB."""
    if settings.runtime == "local":
        return LocalRuntime(settings.local_socket)
    from estafette_common.jobs.runtimes.kubernetes import KubernetesRuntime  # noqa: PLC0415  see above

    return KubernetesRuntime(settings)

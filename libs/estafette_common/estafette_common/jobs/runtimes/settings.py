"""Which runtime carries the jobs."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, SettingsConfigDict

from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.runtimes import JobRuntime
from estafette_common.jobs.runtimes.kubernetes_resources import QUANTITY
from estafette_common.jobs.runtimes.local import LocalRuntime


class Placement(BaseModel):
    """Which nodes pods go to; the fields are those of a pod in Kubernetes."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    node_selector: dict[str, str] = {}
    affinity: dict[str, Any] = {}
    tolerations: list[dict[str, Any]] = []


class RuntimeSettings(BaseSettings):
    """What a service that starts or cleans jobs is told."""

    model_config = SettingsConfigDict(env_prefix="ESTAFETTE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    runtime: str = Field("local", pattern="^(local|kubernetes)$", description="Where jobs run: local or kubernetes.")
    local_socket: Path = Field(Path("/run/estafette/builder.sock"), description="Where the builder host listens.")
    kubernetes_namespace: str = Field("estafette-jobs", description="Namespace of the jobs.")
    builder_image: str = Field("estafette/builder:latest", description="Image of the program inside a job.")
    builder_service_account: str = Field("default", description="Service account of the job's pods; needs no rights.")
    builder_user: int = Field(10001, description="User and group id of the job's pods; not root.")
    builder_cpu: str = Field(
        "0.5", pattern=QUANTITY, description="CPU that a job's pod asks for until enough jobs like it were measured."
    )
    builder_memory: str = Field(
        "256Mi", pattern=QUANTITY, description="Memory that a job's pod asks for until enough were measured."
    )
    builder_cpu_least: str = Field("0.05", pattern=QUANTITY, description="Least CPU that a job's pod asks for.")
    builder_memory_least: str = Field("64Mi", pattern=QUANTITY, description="Least memory that a job's pod asks for.")
    builder_cpu_limit: str = Field(
        "1",
        pattern=QUANTITY,
        description="Most CPU that a job's pod asks for, and its limit until enough were measured.",
    )
    builder_memory_limit: str = Field(
        "8Gi",
        pattern=QUANTITY,
        description="Most memory that a job's pod asks for, and its limit until enough were measured, or where one "
        "lately ran out of memory.",
    )
    builder_cpu_request_ratio: float = Field(
        1.0, gt=0, description="How many times the most CPU that was measured a job's pod asks for."
    )
    builder_memory_request_ratio: float = Field(
        1.25, gt=0, description="How many times the most memory that was measured a job's pod asks for."
    )
    builder_cpu_limit_ratio: float = Field(
        2.0, gt=0, description="How many times what it asks for is the limit of the CPU of a measured job's pod."
    )
    builder_memory_limit_ratio: float = Field(
        1.0, gt=0, description="How many times what it asks for is the limit of the memory of a measured job's pod."
    )
    host_network: bool = Field(default=False, description="Use the node's network, on clusters without a pod network.")
    job_nats_url: str = Field("nats://nats:4222", description="Where NATS is, as seen from inside a job.")
    job_placement: dict[Kind, Placement] = Field(
        {},
        description='JSON: `nodeSelector`, `affinity` and `tolerations` of the pods of each kind, as {"build": {…}}. '
        "Of a kind that is not named: builds prefer spot nodes, releases and bots avoid them.",
    )
    image_patience: float = Field(
        300.0, description="Seconds that a pod may be without its image before its job is lost."
    )
    scheduling_patience: float = Field(
        1800.0, description="Seconds that a pod may be without a node before its job is lost."
    )
    node_loss_patience: int = Field(
        60, ge=0, description="Seconds that a pod stays with a node that does not answer any more."
    )
    kubernetes_rate: float = Field(
        50.0, ge=0, description="Most calls a second to the API server of Kubernetes; 0: no limit."
    )
    run_namespaces: bool = Field(
        default=False, description="Let a manifest ask for a namespace of its own; needs rights in the whole cluster."
    )
    run_namespace_role: str = Field("edit", description="Cluster role that a build has in its own namespace.")
    job_stage_runtime: str = Field("auto", description="How stages run inside a job: docker, process or auto.")


def create_runtime(settings: RuntimeSettings) -> JobRuntime:
    """Return the runtime that the settings choose. Its client is imported only then: it takes 70 MB."""
    if settings.runtime == "local":
        return LocalRuntime(settings.local_socket)
    from estafette_common.jobs.runtimes.kubernetes import KubernetesRuntime  # noqa: PLC0415  see above

    return KubernetesRuntime(settings)

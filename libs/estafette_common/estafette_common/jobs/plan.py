"""The plan: everything a builder needs to know of its job, resolved by the planner."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from estafette_common.jobs.lifecycle import Kind


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Repository(_Frozen):
    """A repository at a forge."""

    source: str
    """`github.com`"""
    owner: str
    name: str

    @property
    def pipeline(self) -> str:
        """The key of its pipeline: `github.com/acme/shop`."""
        return f"{self.source}/{self.owner}/{self.name}"


class Version(_Frozen):
    """The version of a build and the parts it was made of."""

    version: str
    major: int | None = None
    minor: int | None = None
    patch: str | None = None
    label: str | None = None
    counter: int
    max_counter: int = 0
    """Of the newest build of the pipeline."""
    max_counter_current_branch: int = 0
    """Of the newest build of the branch."""


class Probe(_Frozen):
    """How it is found out that a service is ready: by a command in it, or else by an HTTP request."""

    command: tuple[str, ...] = ()
    scheme: str = "http"
    host: str = ""
    port: int = 80
    path: str = ""
    timeout: float = 60.0
    """Seconds to wait."""


class PlannedService(_Frozen):
    """A container that runs beside a stage."""

    name: str
    """Its host name."""
    image: str
    shell: str = "/bin/sh"
    commands: tuple[str, ...] = ()
    run_commands_in_foreground: bool = False
    multi_stage: bool = False
    """Whether it runs on beside the stages that follow."""
    when: str = "status == 'succeeded'"
    env: dict[str, str] = {}
    readiness: Probe | None = None


class PlannedStage(_Frozen):
    """One stage, with every default filled in."""

    name: str
    image: str = ""
    shell: str = "/bin/sh"
    work_dir: str = "/estafette-work"
    commands: tuple[str, ...] = ()
    run_commands_in_foreground: bool = False
    when: str = "status == 'succeeded'"
    env: dict[str, str] = {}
    auto_injected: bool = False
    custom: dict[str, Any] = {}
    """Properties for the image, as JSON."""
    parallel_stages: "tuple[PlannedStage, ...]" = ()
    """Run at once, instead of an image of its own."""
    services: tuple[PlannedService, ...] = ()
    timeout: float | None = None
    """Seconds it may run, without the pull of its image."""
    retries: int = 0
    """How often it is tried again when it fails."""
    resumable: bool = False
    """Whether a later attempt of the job may pass over it, once it succeeded and the workspace was kept."""


class OwnEngine(_Frozen):
    """A Docker Engine that a builder starts for its job alone, inside its own container."""

    mtu: int = 0
    """Bytes of the largest packet in its networks; 0 for what it takes itself."""
    bip: str = ""
    """Address and size of its network: `192.168.1.1/24`; empty for what it takes itself."""
    registry_mirror: str = ""
    """URL of a registry that is asked before Docker Hub."""


class After(StrEnum):
    """What has to have happened before the namespace of a run is removed."""

    ALWAYS = "always"
    """The run ended."""
    SUCCESS = "success"
    """It ended well."""
    REPORTED = "reported"
    """Its end was told to the forge, which took it."""
    NEVER = "never"
    """People remove it."""


class RunNamespace(_Frozen):
    """A Kubernetes namespace that a run has for itself, and what becomes of it then."""

    scale_to_zero: bool = True
    """Whether what runs in it is ended with the run."""
    after: After = After.ALWAYS
    """What has to have happened before it is removed."""
    ttl: float = 0.0
    """Seconds that it is kept after that."""
    keep_last: int = 0
    """How many of the newest of the pipeline are kept all the same."""


class Plan(_Frozen):
    """What a builder runs. Secrets in it are envelopes sealed with the job's own key (`manifest.secrets`)."""

    kind: Kind
    job_id: str
    repository: Repository
    branch: str
    revision: str
    clone: bool = True
    """Whether the workspace is filled with the revision before the first stage; else it is empty."""
    clone_url: str
    clone_token: str = ""
    """Sealed; lets git read a private repository over HTTPS (user `x-access-token`)."""
    version: Version
    labels: dict[str, str] = {}
    env: dict[str, str] = {}
    """Of the manifest, for every stage."""
    stages: tuple[PlannedStage, ...]
    target: str = ""
    """Of a release; or the name of a bot."""
    action: str = ""
    """Of a release."""
    events: tuple[dict[str, Any], ...] = ()
    """What fired, and what named triggers remember, as the reference's API has it."""
    server_url: str = ""
    """Where people find the page; `ESTAFETTE_CI_SERVER_BASE_URL`."""
    timeout: float = 6 * 60 * 60.0
    """Seconds the job may run."""
    trusted_images: tuple[dict[str, Any], ...] = ()
    """That stages of the job may use, with their rights; each a `manifest.trust.TrustedImage` as JSON."""
    credentials: tuple[dict[str, Any], ...] = ()
    """That the job may use, their secrets sealed; each a `manifest.trust.Credential` as JSON."""
    resumes: str = ""
    """Id of a job of the same kind: where its workspace is still there, stages that it finished may be passed over."""
    run_namespace: RunNamespace | None = None
    """Which its stages may use; only in Kubernetes."""
    own_engine: OwnEngine | None = None
    """Where containers run if the builder is alone in its container; else in the engine that is there."""

    @property
    def job_name(self) -> str:
        """The name of the job in its runtime, from its id alone: creating it twice meets the same object."""
        return f"{self.kind}-{self.job_id}"

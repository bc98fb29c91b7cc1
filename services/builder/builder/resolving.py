"""From what a plan says of stages and services to what is run: references expanded, secrets opened."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from estafette_common.jobs.plan import Plan, PlannedService, PlannedStage
from estafette_common.manifest import when
from estafette_common.manifest.environment import container_variables, expand, in_texts, job_variables, stage_variables
from estafette_common.manifest.extensions import extension_variables

from builder.runtimes import StageError, StageRun

SERVER = "estafette"
"""What `server` is in conditions."""


class Resolver:
    """Knows the variables of one attempt of a job. `status` is that of the job so far: `succeeded` or `failed`."""

    def __init__(self, plan: Plan, *, workspace: Path, open_secrets: Callable[[str], str]) -> None:
        self._plan = plan
        self._workspace = workspace
        self._open = open_secrets
        self._started_at = datetime.now(UTC)

    def holds(self, condition: str, status: str) -> bool:
        """Return whether a condition holds. Raises WhenError."""
        variables = self._variables(status)
        return when.evaluate(condition, variables | when.variables_of(variables, server=SERVER))

    def stage(self, stage: PlannedStage, status: str) -> StageRun:
        """Return a stage as it is run. Raises StageError and SecretError."""
        variables = self._variables(status)

        def resolve(text: str) -> str:
            return self._open(expand(text, variables))

        properties = extension_variables(in_texts(stage.custom, resolve), in_texts(stage.env, resolve))
        return StageRun(
            name=stage.name,
            image=self._image(stage.image, variables),
            shell=stage.shell,
            work_dir=expand(stage.work_dir, variables),
            commands=stage.commands,
            run_commands_in_foreground=stage.run_commands_in_foreground,
            environment=stage_variables(
                self._plan, stage, status=status, started_at=self._started_at, open_secrets=self._open
            )
            | properties,
            workspace=self._workspace,
        )

    def service(self, service: PlannedService, status: str) -> StageRun:
        """Return a service as it is run. Raises StageError and SecretError."""
        return StageRun(
            name=service.name,
            image=self._image(service.image, self._variables(status)),
            shell=service.shell,
            work_dir="",
            commands=service.commands,
            run_commands_in_foreground=service.run_commands_in_foreground,
            environment=container_variables(
                self._plan,
                {"ESTAFETTE_SERVICE_NAME": service.name, **service.env},
                status=status,
                started_at=self._started_at,
                open_secrets=self._open,
            ),
            workspace=self._workspace,
            hostname=service.name,
        )

    def _image(self, image: str, variables: dict[str, str]) -> str:
        resolved = self._open(expand(image, variables))
        if not resolved:
            raise StageError("there is no image")
        return resolved

    def _variables(self, status: str) -> dict[str, str]:
        return job_variables(self._plan, status=status, started_at=self._started_at)

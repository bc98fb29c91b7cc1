"""From what a plan says of stages and services to what is run: references expanded, secrets opened."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from estafette_common.jobs.plan import Plan, PlannedService, PlannedStage
from estafette_common.manifest import when
from estafette_common.manifest.environment import container_variables, expand, in_texts, job_variables, stage_variables
from estafette_common.manifest.extensions import extension_variables
from estafette_common.manifest.secrets import SecretError
from estafette_common.manifest.trust import images_of
from estafette_common.manifest.when import WhenError

from builder.credentials import Trust
from builder.runtimes import ImageSource, StageError, StageRun

SERVER = "estafette"
"""What `server` is in conditions."""


class Resolver:
    """Knows the variables of one attempt of a job. `status` is that of the job so far: `succeeded` or `failed`."""

    def __init__(self, plan: Plan, *, workspace: Path, open_secrets: Callable[[str], str]) -> None:
        self._plan = plan
        self._workspace = workspace
        self._open = open_secrets
        self._trust = Trust(plan, open_secrets)
        self._started_at = datetime.now(UTC)
        self._known: dict[str, dict[str, str]] = {}

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
        image = self._image(stage.image, variables)
        return StageRun(
            name=stage.name,
            image=image,
            shell=stage.shell,
            work_dir=expand(stage.work_dir, variables),
            commands=stage.commands,
            run_commands_in_foreground=stage.run_commands_in_foreground,
            environment=stage_variables(
                self._plan, stage, status=status, started_at=self._started_at, open_secrets=self._open
            )
            | properties,
            workspace=self._workspace,
            login=self._trust.login(image, variables),
            rights=self._trust.rights(image, has_commands=bool(stage.commands), variables=variables),
            later=tuple(self._after(stage, status)),
        )

    def service(self, service: PlannedService, status: str) -> StageRun:
        """Return a service as it is run. Raises StageError and SecretError."""
        variables = self._variables(status)
        image = self._image(service.image, variables)
        return StageRun(
            name=service.name,
            image=image,
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
            login=self._trust.login(image, variables),
            rights=self._trust.rights(image, has_commands=bool(service.commands), variables=variables),
        )

    def _after(self, stage: PlannedStage, status: str) -> Iterator[ImageSource]:
        """Give the images of the stages after a stage at the top, or after the one it is in, if they are due by now."""
        variables = self._variables(status)
        stages = iter(self._plan.stages)
        for each in stages:
            if any(one is stage for one in (each, *each.parallel_stages)):
                break
        for image in images_of(each for each in stages if self._seems_due(each, status)):
            with suppress(StageError, SecretError):
                resolved = self._image(image, variables)
                yield ImageSource(resolved, self._trust.login(resolved, variables))

    def _seems_due(self, stage: PlannedStage, status: str) -> bool:
        try:
            return self.holds(stage.when, status)
        except WhenError:
            return False

    def _image(self, image: str, variables: dict[str, str]) -> str:
        resolved = self._open(expand(image, variables))
        if not resolved:
            raise StageError("there is no image")
        return resolved

    def _variables(self, status: str) -> dict[str, str]:
        if status not in self._known:
            self._known[status] = job_variables(self._plan, status=status, started_at=self._started_at)
        return self._known[status]

"""What the stages of a job may do with the server's credentials, and what the builder does with them itself."""

from collections.abc import Callable, Mapping
from typing import Any

from estafette_common.jobs.plan import Plan
from estafette_common.manifest import trust
from estafette_common.manifest.environment import expand
from estafette_common.manifest.trust import Credential

from builder.references import DOCKER_HUB, NoReferenceError, Reference, parse
from builder.runtimes import Login, Rights, StageError

NO_RIGHTS = Rights()

FOR_IMAGES, FOR_ANY_IMAGE = trust.REGISTRY
"""Types of credentials that images are pulled with: of what they name, or else of Docker Hub."""


class Trust:
    """Knows the trusted images and the credentials of a job. Variables are those of the job."""

    def __init__(self, plan: Plan, open_secrets: Callable[[str], str]) -> None:
        self._images, self._credentials = trust.of_plan(plan)
        self._open = open_secrets

    def rights(self, image: str, *, has_commands: bool, variables: Mapping[str, str]) -> Rights:
        """Return what a container of an image may do. Raises StageError when it may not run at all, or SecretError."""
        found = trust.trusted(image, self._images)
        if found is None:
            return NO_RIGHTS
        if has_commands and found.injected_credential_types and not found.allow_commands:
            raise StageError(
                f"{found.path} gets credentials, so its stage may have no commands: remove them, or ask the operators "
                "of this server to allow it"
            )
        return Rights(
            is_trusted=True,
            privileged=found.run_privileged or found.run_docker,
            engine=found.run_docker,
            credentials=trust.files(image, self._images, self._credentials, variables, open_secrets=self._open),
        )

    def login(self, image: str, variables: Mapping[str, str]) -> Login | None:
        """Return what an image is pulled with, if there is anything. Raises SecretError."""
        try:
            reference = parse(image)
        except NoReferenceError:
            return None  # there will be no pull
        for kind, place in ((FOR_IMAGES, ""), (FOR_ANY_IMAGE, DOCKER_HUB)):
            if found := self._for(reference, kind, place, variables):
                return found
        return None

    def _for(self, reference: Reference, kind: str, place: str, variables: Mapping[str, str]) -> Login | None:
        """Return the login of the credential of a kind whose place, or else that place, says most of an image."""
        best = ""
        login = None
        for credential in self._credentials:
            if credential.type != kind:
                continue
            where, username, password = (
                self._text(credential, name, variables) for name in ("repository", "username", "password")
            )
            where = where or place
            if where and username and password and reference.is_below(where) and len(where) > len(best):
                best, login = where, Login(username=username, password=password)
        return login

    def _text(self, credential: Credential, name: str, variables: Mapping[str, str]) -> str:
        value: Any = credential.additional_properties.get(name)
        return self._open(expand(value, variables)) if isinstance(value, str) else ""

"""Secrets of a plan: opened with the server's key and sealed with a key made for the job."""

import json
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from estafette_common.github.client import GithubClient
from estafette_common.jobs.plan import Plan, PlannedStage, Repository
from estafette_common.manifest import secrets
from estafette_common.manifest.environment import in_texts
from estafette_common.manifest.trust import Credential

from manifest_planner.config import NOTHING_TRUSTED, ServerConfig
from manifest_planner.granting import grant
from manifest_planner.planning import MANIFEST

JOB_KEY_BYTES = 32


class Sealer:
    """Seals plans."""

    def __init__(
        self,
        keys: secrets.Keys,
        github: GithubClient,
        server: ServerConfig = NOTHING_TRUSTED,
        *,
        moved_to_github: bool = False,
    ) -> None:
        self._keys = keys
        self._server = server
        self._moved = moved_to_github
        self._github = github

    async def clone_token(self, repository: Repository, url: str, installation: int | None) -> str:
        """Return a token to clone with from a URL, in an envelope of the server's key; empty when there is none."""
        if not self._github.may_see_tokens(url):
            return ""
        token = await self._github.clone_token(repository.owner, repository.name, installation)
        return secrets.encrypt(token, key=self._keys) if token else ""

    def unusable(self, text: str, *, pipeline: str) -> list[str]:
        """Return what is wrong with the secrets in a manifest, each with its place; nothing when all can be used."""
        wrong = []
        for number, line in enumerate(text.splitlines(), start=1):
            for found in secrets.ENVELOPE.finditer(line):
                try:
                    secrets.plain_values(found[0], key=self._keys, pipeline=pipeline, moved_to_github=self._moved)
                except secrets.SecretError as error:
                    wrong.append(f"{MANIFEST}:{number}:{found.start() + 1}: {error}")
        return wrong

    def seal(self, plan: Plan) -> tuple[Plan, str]:
        """Return the plan, with what the server grants it, sealed with a fresh key, and that key sealed by the server.

        Raises SecretError when a secret of the plan cannot be opened.
        """
        plan = grant(plan, self._server, may_open=partial(self._may_open, pipeline=plan.repository.pipeline))
        job_key = os.urandom(JOB_KEY_BYTES)
        pipeline = plan.repository.pipeline

        def reseal(text: str) -> str:
            return secrets.reseal(text, key=self._keys, new_key=job_key, pipeline=pipeline, moved_to_github=self._moved)

        stages = tuple(_resealed(stage, reseal) for stage in plan.stages)
        sealed = plan.model_copy(
            update={
                "clone_token": reseal(plan.clone_token),
                "env": {name: reseal(value) for name, value in plan.env.items()},
                "stages": stages,
                "credentials": tuple(in_texts(credential, reseal) for credential in plan.credentials),
            }
        )
        return sealed, secrets.seal_key(job_key, secret_key=self._keys, job_id=plan.job_id)

    def _may_open(self, credential: Credential, *, pipeline: str) -> bool:
        text = json.dumps(credential.additional_properties)
        try:
            secrets.plain_values(text, key=self._keys, pipeline=pipeline, moved_to_github=self._moved)
        except secrets.SecretError:
            return False
        return True


def _resealed(stage: PlannedStage, reseal: Callable[[str], str]) -> PlannedStage:
    """Return a stage, and what runs inside or beside it, with its secrets sealed again."""

    def texts(node: Any) -> Any:
        if isinstance(node, str):
            return reseal(node)
        if isinstance(node, dict):
            return {key: texts(value) for key, value in node.items()}
        return [texts(item) for item in node] if isinstance(node, list) else node

    return PlannedStage.model_validate(texts(stage.model_dump(mode="json")))

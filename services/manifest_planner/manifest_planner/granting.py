"""Which of the server's credentials and rights a job gets. Pure."""

from collections.abc import Callable
from datetime import UTC, datetime

from estafette_common.jobs.plan import Plan
from estafette_common.manifest import trust
from estafette_common.manifest.environment import expand, job_variables
from estafette_common.manifest.trust import Credential

from manifest_planner.config import ServerConfig

ANY_TIME = datetime.fromtimestamp(0, UTC)
"""No name of an image depends on when its job starts."""

FORGE_TOKENS = {"github.com": "github-api-token"}
"""Types of the credentials that are made for each job, by where its repository is; their names are the same."""


def grant(plan: Plan, server: ServerConfig, *, may_open: Callable[[Credential], bool]) -> Plan:
    """Return the plan with the credentials and trusted images that its stages use and may use, and with its engine.

    A credential with a secret that the pipeline may not open is left out.
    """
    pipeline = plan.repository.pipeline
    variables = job_variables(plan, status="succeeded", started_at=ANY_TIME)
    references = [expand(image, variables) for image in trust.images_of(plan.stages)]
    images = trust.used(server.trusted_images, references, pipeline=pipeline)
    credentials = trust.granted(
        (*server.credentials, *_of_the_forge(plan)), images, pipeline=pipeline, branch=plan.branch
    )
    plan = plan.model_copy(update={"own_engine": server.own_engine})
    return trust.into_plan(plan, images, [each for each in credentials if may_open(each)])


def _of_the_forge(plan: Plan) -> tuple[Credential, ...]:
    name = FORGE_TOKENS.get(plan.repository.source)
    if name is None or not plan.clone_token:
        return ()
    return (Credential(name=name, type=name, additional_properties={"token": plan.clone_token}),)

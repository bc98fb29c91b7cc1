"""Whether a job may be begun again by itself, after an attempt of it was lost. Pure."""

from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan


def why_not_repeated(plan: Plan) -> str:
    """Return why a job whose attempt began is not begun again by itself; empty when it may be.

    A release may have released something. Its manifest allows to do that once more by saying of each stage that it may
    be tried again (`retries`), or that it need not be (`resumable`).
    """
    if plan.kind is not Kind.RELEASE:
        return ""
    once = [stage.name for stage in plan.stages if not (stage.retries or stage.resumable)]
    return f"a release is begun again only if all its stages allow it; {', '.join(once)} does not" if once else ""

"""Ids that depend only on what they name, so that handling a message twice gives the same ids."""

from uuid import UUID, uuid5

NAMESPACE = UUID("8d5a0c7e-2f3b-5c1d-9a46-0e6f7b1c2d34")
"""Root of all derived ids. Changing it changes every id."""


GIT_PUSH, STARTED, FINISHED = "git-push", "started", "finished"
"""What messages are derived for: the push in a webhook, the start and the end of a job."""


def derive(cause: str, purpose: str) -> str:
    """Return the id of what a message causes for a purpose."""
    return str(uuid5(NAMESPACE, f"{cause}/{purpose}"))


def job_id(pipeline: str, cause: str) -> str:
    """Return the id of the job that a cause gives a pipeline (`github.com/acme/shop`).

    A positive 63-bit decimal, as in the reference, because clients of its API read ids as integers.
    """
    return str(uuid5(NAMESPACE, f"job/{pipeline}/{cause}").int >> 65)


def followers(cause: str, *, decision: str, job: str) -> tuple[str, ...]:
    """Return the ids of the events that a job may have told, whose decision had a cause: by these it goes on.

    A firing has the id of the decision on it. A job tells its start and its end; one that is rejected has no other end
    than its cause gives it.
    """
    return (
        *(derive(of, event) for of in (cause, decision) for event in (STARTED, FINISHED)),
        derive(job, FINISHED),
    )


def heard_in(delivery: str) -> tuple[str, ...]:
    """Return the ids of the events that the delivery of a webhook becomes."""
    return (delivery, derive(delivery, GIT_PUSH))

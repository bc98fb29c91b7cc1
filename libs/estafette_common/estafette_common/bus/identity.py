"""Ids that depend only on what they name, so that handling a message twice gives the same ids."""

from uuid import UUID, uuid5

NAMESPACE = UUID("8d5a0c7e-2f3b-5c1d-9a46-0e6f7b1c2d34")
"""Root of all derived ids. Changing it changes every id."""


def derive(cause: str, purpose: str) -> str:
    """Return the id of what a message causes for a purpose."""
    return str(uuid5(NAMESPACE, f"{cause}/{purpose}"))


def job_id(pipeline: str, cause: str) -> str:
    """Return the id of the job that a cause gives a pipeline (`github.com/acme/shop`).

    A positive 63-bit decimal, as in the reference, because clients of its API read ids as integers.
    """
    return str(uuid5(NAMESPACE, f"job/{pipeline}/{cause}").int >> 65)

"""What a manifest says of the namespace of a run, and when it is removed."""

from datetime import timedelta

from estafette_common.jobs.plan import After, RunNamespace
from estafette_common.manifest.model import Disposal
from estafette_common.manifest.model import RunNamespace as Written
from estafette_common.triggers import durations


def planned_namespace(written: Written) -> RunNamespace | None:
    """Return the namespace that a build has for itself, or nothing where it has none; ValueError for what is wrong."""
    if not written.ephemeral:
        return None
    disposal = written.disposal
    return RunNamespace(
        scale_to_zero=written.scale_to_zero,
        after=After(disposal.after or After.ALWAYS),
        ttl=ttl_of(disposal),
        keep_last=disposal.keep_last,
    )


def ttl_of(disposal: Disposal) -> float:
    """Return the seconds that are waited after that; ValueError for what is no duration."""
    found = durations.parse(disposal.ttl) if disposal.ttl else timedelta()
    if found is None or found < timedelta():
        raise ValueError(f"{disposal.ttl!r} is no duration; write one such as 90s or 24h")
    return found.total_seconds()


def faults_of_disposal(disposal: Disposal) -> dict[str, str]:
    """Return what is wrong with a disposal, by its key."""
    faults = {}
    if disposal.after and disposal.after not in set(After):
        faults["after"] = f"{disposal.after!r} is nothing to wait for; there are {', '.join(After)}"
    try:
        ttl_of(disposal)
    except ValueError as error:
        faults["ttl"] = str(error)
    if disposal.keep_last < 0:
        faults["keepLast"] = "less than none; write 0 or more"
    return faults

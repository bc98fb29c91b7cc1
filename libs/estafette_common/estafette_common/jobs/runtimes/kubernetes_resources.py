"""What a pod asks for and may take, from settings and from what jobs like it took. Pure.

The rule is that of the reference: without enough jobs that were measured, a pod asks for the default and may take the
most there is.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from estafette_common.jobs.runtimes.settings import RuntimeSettings
    from estafette_common.jobs.usage import Usage

QUANTITY = r"^([0-9]+(?:\.[0-9]+)?)(m|k|[MGTPE]|[KMGTPE]i)?$"
"""An amount as Kubernetes writes it, and as the values of our chart may."""

THOUSANDS = "kMGTPE"

UNITS = {
    "": 1.0,
    "m": 0.001,
    **{unit: 1000.0**power for power, unit in enumerate(THOUSANDS, 1)},
    **{f"{unit.upper()}i": 1024.0**power for power, unit in enumerate(THOUSANDS, 1)},
}

A_MEBIBYTE = 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a pod may be given of something, all in one unit."""

    least: float
    most: float
    request_ratio: float
    """Of what is asked for to what was taken at most."""
    limit_ratio: float
    """Of the limit to what is asked for."""


class Share(NamedTuple):
    """What a pod is given of something."""

    request: float
    limit: float


def share(taken: float, bounds: Bounds) -> Share:
    """Return what is given where at most `taken` was used. A limit is never below the request, but may pass `most`."""
    request = min(max(taken * bounds.request_ratio, bounds.least), bounds.most)
    return Share(request, max(request, request * bounds.limit_ratio))


def amount(quantity: str) -> float:
    """Return what a quantity of Kubernetes says, in cores or bytes. ValueError when it is none."""
    found = re.fullmatch(QUANTITY, quantity)
    if found is None:
        raise ValueError(f"not a quantity: {quantity!r}")
    return float(found[1]) * UNITS[found[2] or ""]


def resources(measured: "Usage | None", settings: "RuntimeSettings") -> dict[str, dict[str, str]]:
    """Return the resources of a container. Where a job ran out of memory, it may again take the most there is."""
    if measured is None:
        return {
            "requests": {"cpu": settings.builder_cpu, "memory": settings.builder_memory},
            "limits": {"cpu": settings.builder_cpu_limit, "memory": settings.builder_memory_limit},
        }
    cpu = share(measured.cpu, _cpu_bounds(settings))
    bounds = _memory_bounds(settings)
    memory = share(measured.memory, bounds)
    if measured.out_of_memory:
        memory = memory._replace(limit=max(memory.limit, bounds.most))
    return {
        "requests": {"cpu": _cores(cpu.request), "memory": _bytes(memory.request)},
        "limits": {"cpu": _cores(cpu.limit), "memory": _bytes(memory.limit)},
    }


def memory_limit(pod: dict[str, Any]) -> str:
    """Return how much memory the builder of a pod may take, as Kubernetes has it."""
    return str(pod["spec"]["containers"][0]["resources"]["limits"]["memory"])


def _cpu_bounds(settings: "RuntimeSettings") -> Bounds:
    return Bounds(
        least=amount(settings.builder_cpu_least),
        most=amount(settings.builder_cpu_limit),
        request_ratio=settings.builder_cpu_request_ratio,
        limit_ratio=settings.builder_cpu_limit_ratio,
    )


def _memory_bounds(settings: "RuntimeSettings") -> Bounds:
    return Bounds(
        least=amount(settings.builder_memory_least),
        most=amount(settings.builder_memory_limit),
        request_ratio=settings.builder_memory_request_ratio,
        limit_ratio=settings.builder_memory_limit_ratio,
    )


def _cores(cores: float) -> str:
    return f"{max(round(cores * 1000), 1)}m"


def _bytes(count: float) -> str:
    return f"{max(int(count // A_MEBIBYTE), 1)}Mi"

"""Which images may be trusted with which credentials. Pure.

The shapes are those of the reference's configuration (`trustedImages`, `credentials`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from estafette_common.jobs.plan import Plan, PlannedStage
from estafette_common.manifest import model
from estafette_common.manifest.environment import compact_json, expand, in_texts, lower_snake
from estafette_common.triggers import patterns

REGISTRY = ("container-registry", "container-registry-pull")
"""Types of credentials that every job may have: the builder pulls images with them."""


class TrustedImage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An image that may do more than others."""

    path: str
    """Of its name, without tag and digest."""
    run_privileged: bool = False
    run_docker: bool = False
    allow_commands: bool = False
    allow_notifications: bool = False
    injected_credential_types: tuple[str, ...] = ()
    allowed_pipelines: str = ""
    """A regular expression for the whole of `source/owner/name`; empty for all."""


class Credential(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Something that opens another system. What is empty restricts nothing."""

    name: str
    type: str
    allowed_pipelines: str = ""
    allowed_trusted_images: str = ""
    allowed_branches: str = ""
    additional_properties: dict[str, Any] = {}


def into_plan(plan: Plan, images: Iterable[TrustedImage], credentials: Iterable[Credential]) -> Plan:
    """Return the plan with these trusted images and credentials."""
    return plan.model_copy(
        update={
            "trusted_images": tuple(msgspec.to_builtins(each) for each in images),
            "credentials": tuple(msgspec.to_builtins(each) for each in credentials),
        }
    )


def of_plan(plan: Plan) -> tuple[tuple[TrustedImage, ...], tuple[Credential, ...]]:
    """Return the trusted images and the credentials of a plan."""
    return (
        msgspec.convert(plan.trusted_images, tuple[TrustedImage, ...]),
        msgspec.convert(plan.credentials, tuple[Credential, ...]),
    )


def path_of(image: str) -> str:
    """Return the name of an image without its tag and digest: `registry:5000/a/b` of `registry:5000/a/b:1@sha256:…`."""
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def images_of(stages: Iterable[model.Stage] | Iterable[PlannedStage]) -> Iterator[str]:
    """Give the images of stages, and of what runs beside or inside them."""
    for stage in stages:
        yield stage.image
        yield from (service.image for service in stage.services)
        yield from images_of(stage.parallel_stages)


def trusted(image: str, images: Iterable[TrustedImage]) -> TrustedImage | None:
    """Return what is configured for an image, if anything."""
    return next((each for each in images if each.path == path_of(image)), None)


def used(images: Iterable[TrustedImage], references: Iterable[str], *, pipeline: str) -> tuple[TrustedImage, ...]:
    """Return the trusted images that a job with these images uses and may use."""
    paths = {path_of(each) for each in references}
    return tuple(each for each in images if each.path in paths and _allows(each.allowed_pipelines, pipeline))


def granted(
    credentials: Iterable[Credential], images: Iterable[TrustedImage], *, pipeline: str, branch: str
) -> tuple[Credential, ...]:
    """Return the credentials that a job with these trusted images gets."""
    images = tuple(images)
    return tuple(
        each
        for each in credentials
        if _allows(each.allowed_pipelines, pipeline)
        and (
            each.type in REGISTRY
            or (_allows(each.allowed_branches, branch) and any(_may(image, each) for image in images))
        )
    )


def files(
    image: str,
    images: Iterable[TrustedImage],
    credentials: Iterable[Credential],
    variables: Mapping[str, str],
    *,
    open_secrets: Callable[[str], str],
) -> dict[str, str]:
    """Return the files of credentials that are mounted for an image, by name: one for each type, as JSON.

    Credentials come with their secrets sealed. These are opened text by text after references are replaced: neither
    can a `$` in a secret become a reference, nor the name of a branch become more of the JSON.
    """
    found = trusted(image, images)
    if found is None:
        return {}

    def resolved(credential: Credential) -> Any:
        return in_texts(msgspec.to_builtins(credential), lambda text: open_secrets(expand(text, variables)))

    credentials = tuple(credentials)
    told = {
        kind: [resolved(each) for each in credentials if each.type == kind and _may(found, each)]
        for kind in found.injected_credential_types
    }
    return {f"{lower_snake(kind)}.json": _compact_in_order(each) for kind, each in told.items() if each}


def _compact_in_order(credentials: list[dict[str, Any]]) -> str:
    """Return credentials as JSON: their fields in order, what is additional sorted by name."""
    told = []
    for each in credentials:
        fields = ",".join(f"{compact_json(key)}:{compact_json(value)}" for key, value in each.items())
        told.append(f"{{{fields}}}")
    return f"[{','.join(told)}]"


def _may(image: TrustedImage, credential: Credential) -> bool:
    return credential.type in image.injected_credential_types and _allows(credential.allowed_trusted_images, image.path)


def _allows(pattern: str, text: str) -> bool:
    try:
        return not pattern or patterns.whole(pattern, text)
    except patterns.PatternError:
        return False

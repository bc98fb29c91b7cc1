"""What a manifest says about its pipeline beyond the stages of a build. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from estafette_common.manifest.model import Manifest
from estafette_common.triggers.checking import InvalidTriggerError, checked
from estafette_common.triggers.model import BUILD, Owner, Trigger, WrittenTrigger
from estafette_common.triggers.own_pipeline import all_triggers


@dataclass(frozen=True, slots=True)
class Declared:
    """Labels, release targets and triggers, as they are stored with a build."""

    labels: dict[str, str]
    release_targets: tuple[dict[str, Any], ...] = ()
    """`{name, actions: [{name, hideBadge}]}`, as the reference's API has them."""
    triggers: tuple[Trigger, ...] = ()
    """With `self` replaced. Those of an archived pipeline do not count."""


def declared(manifest: Manifest, pipeline: str) -> Declared:
    """Return what the manifest of a pipeline declares."""
    targets = tuple(
        {
            "name": release.name,
            "actions": [{"name": each.name, "hideBadge": each.hide_badge} for each in release.actions],
        }
        for release in manifest.releases
    )
    triggers = () if manifest.archived else triggers_of(manifest, pipeline)
    return Declared(dict(manifest.labels), targets, triggers)


def triggers_of(manifest: Manifest, pipeline: str) -> tuple[Trigger, ...]:
    """Return all valid triggers, those of builds first, then those of releases and bots."""
    return all_triggers(
        _valid(manifest.triggers, BUILD),
        (each for release in manifest.releases for each in _valid(release.triggers, Owner("release", release.name))),
        (each for bot in manifest.bots for each in _valid(bot.triggers, Owner("bot", bot.name))),
        pipeline=pipeline,
    )


def _valid(written: Iterable[WrittenTrigger], owner: Owner) -> list[Trigger]:
    triggers = []
    for each in written:
        try:
            triggers.append(checked(each, owner))
        except InvalidTriggerError:  # a stored manifest may be older than a rule
            continue
    return triggers

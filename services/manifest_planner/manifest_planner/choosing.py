"""Which build a release or a bot takes its version, revision and manifest from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from estafette_common.jobs.plan import Repository
from estafette_common.manifest.findings import ManifestError
from estafette_common.manifest.model import Bot, Manifest, Release
from estafette_common.manifest.reading import parse
from estafette_common.triggers.model import ReleaseAction, RunAction

from manifest_planner import releasing
from manifest_planner.control import EVERYTHING, Control, why_not_released
from manifest_planner.history import History
from manifest_planner.planning import BuildRow, Ignored, Refused
from manifest_planner.releases import Releases


@dataclass(frozen=True, slots=True)
class Chosen:
    """A build, its manifest, and the release or bot of that."""

    build: BuildRow
    manifest: Manifest
    runs: Release | Bot


class Chooser:
    """Asks for what is known, and lets `releasing` decide on it."""

    def __init__(self, history: History, releases: Releases, control: Control = EVERYTHING) -> None:
        self._history = history
        self._releases = releases
        self._control = control

    async def release(
        self, repository: Repository, wanted: ReleaseAction, event: Mapping[str, Any], *, by_hand: bool = False
    ) -> Chosen | Ignored:
        """Return what is released, or why nothing is. `event` is what started it, as stages are told."""
        repository = await self._history.place(repository)
        latest = await self._history.newest_succeeded(repository)
        live = await self._releases.live(repository, wanted.target, wanted.action)
        known = releasing.Known(latest=latest.version if latest else "", current=live)
        version = releasing.version(wanted.version, event, known)
        if isinstance(version, Ignored):
            return version
        build = await self._of(repository, version, even_unfinished=wanted.version == releasing.SAME)
        if build is None:
            return Ignored(f"no build of version {version} has succeeded")
        chosen = release_of(build, wanted.target, wanted.action, by_hand=by_hand)
        if isinstance(chosen, Chosen) and isinstance(chosen.runs, Release):
            refusal = why_not_released(self._control, repository, build.branch, chosen.runs)
            return Refused(refusal) if refusal else chosen
        return chosen

    async def bot(self, repository: Repository, wanted: RunAction, *, own: str = "") -> Chosen | Ignored:
        """Return what a bot runs on, or why it does not: its branch where that has builds, else the newest build.

        `own` is the build of the push that fired, if that was one.
        """
        build = await self._history.current(await self._history.place(repository), wanted.branch, own=own)
        return bot_of(build, wanted.bot) if build else Ignored("the pipeline has no build yet to run a bot of")

    async def _of(self, repository: Repository, version: str, *, even_unfinished: bool) -> BuildRow | None:
        """Return the build of a version that succeeded; or the newest one, if what fired names its version."""
        build = await self._history.succeeded(repository, version)
        if build is not None or not even_unfinished:
            return build
        newest = await self._history.newest(repository)
        return newest if newest is not None and newest.version == version else None


def release_of(build: BuildRow, target: str, action: str, *, by_hand: bool = False) -> Chosen | Ignored:
    """Return the release of a build to a target, or why there can be none."""
    manifest = _manifest(build)
    if isinstance(manifest, Ignored):
        return manifest
    runs = releasing.target(manifest, target, action, by_hand=by_hand)
    return runs if isinstance(runs, Ignored) else Chosen(build, manifest, runs)


def bot_of(build: BuildRow, name: str) -> Chosen | Ignored:
    """Return a bot of the manifest of a build, or why there is none."""
    manifest = _manifest(build)
    if isinstance(manifest, Ignored):
        return manifest
    runs = releasing.bot(manifest, name)
    return runs if isinstance(runs, Ignored) else Chosen(build, manifest, runs)


def _manifest(build: BuildRow) -> Manifest | Ignored:
    try:
        return parse(build.manifest)
    except ManifestError as error:
        return Ignored(f"the manifest of build {build.version} cannot be read: {error}")

"""Builds that somebody asked for."""

import re
from dataclasses import replace

from estafette_common.bus import identity
from estafette_common.bus.messages.commands import Answer, Error, Rebuild, StartBuild
from estafette_common.bus.messages.events import Commit, GitPushed
from estafette_common.bus.messages.message import Cause
from estafette_common.jobs.lifecycle import Kind, Status

from manifest_planner import planning, resuming
from manifest_planner.builds import Builds, RefusedError
from manifest_planner.planner import Manifests, Planned, Planner
from manifest_planner.planning import BuildRow, Origin

REVISION = re.compile("[0-9a-f]{40}")


class BuildsByHand:
    """Starts builds on command. The request's id decides the build: one that comes again gives the same."""

    def __init__(self, manifests: Manifests, builds: Builds, planner: Planner) -> None:
        self._manifests = manifests
        self._builds = builds
        self._planner = planner

    async def on_start(self, command: StartBuild, cause: Cause) -> Answer:
        """Build a branch, as it is or at a revision."""
        repository, branch = command.repository, command.branch
        if command.revision and not REVISION.fullmatch(command.revision):
            return Answer(error=Error.INVALID, message=f"{command.revision!r} is no revision of 40 digits")
        known = await self._builds.get(identity.job_id(repository.pipeline, cause.id))
        installation = known.installation if known else await self._builds.installation_of(repository)
        revision = known.revision if known else command.revision
        revision = revision or await self._manifests.head(repository, branch, installation) or ""
        if not revision:
            return Answer(error=Error.NOT_FOUND, message=f"{repository.pipeline} has no branch {branch}")
        push = GitPushed(
            repository=repository, ref=f"refs/heads/{branch}", revision=revision, installation=installation
        )
        return await self._plan(push, cause, planning.manual(command.by, _asked(command.by, f"build of {branch}")))

    async def on_rebuild(self, command: Rebuild, cause: Cause) -> Answer:
        """Build a version once more, with its revision and its manifest."""
        repository, version = command.repository, command.version
        known = await self._builds.get(identity.job_id(repository.pipeline, cause.id))
        found = await self._builds.last_of_version(repository, version)
        if found is None:
            return Answer(error=Error.NOT_FOUND, message=f"{repository.pipeline} has no build of version {version}")
        build, commits = found
        resumes = command.from_failed
        if resumes and known is None and (refusal := resuming.why_not(build)):
            return await self._refuse(_push(build, commits), cause, refusal)
        what = f"rebuild of {version}{' from the failed stage' if resumes else ''}"
        origin = replace(planning.manual(command.by, _asked(command.by, what)), repeats=build, resumes=resumes)
        workspace = known.resumes if known else build.id
        if known is not None:
            build = known
        answer = await self._plan(_push(build, commits), cause, origin, text=build.manifest)
        if answer.error or answer.message or not resumes:
            return answer
        return answer.model_copy(update={"message": resuming.promise(workspace)})

    async def _refuse(self, push: GitPushed, cause: Cause, reason: str) -> Answer:
        await self._planner.decide(push, cause, Planned("refused", reason), about="command")
        return Answer(error=Error.REFUSED, message=reason)

    async def _plan(self, push: GitPushed, cause: Cause, origin: Origin, *, text: str | None = None) -> Answer:
        try:
            planned = await self._planner.plan(push, cause, origin, text=text)
        except RefusedError as error:
            return await self._refuse(push, cause, str(error))
        await self._planner.decide(push, cause, planned, about="command")
        if planned.build is None:
            return Answer(error=Error.REFUSED, message=planned.reason)
        build = planned.build
        status = Status.FAILED if planned.decision == "rejected" else Status(build.status)
        message = planned.reason if planned.decision == "rejected" else ""
        return Answer(message=message, kind=Kind.BUILD, job_id=build.id, status=status, version=build.version)


def _push(build: BuildRow, commits: tuple[Commit, ...]) -> GitPushed:
    return GitPushed(
        repository=build.repository,
        ref=f"refs/heads/{build.branch}",
        revision=build.revision,
        commits=commits,
        installation=build.installation,
    )


def _asked(by: str, what: str) -> str:
    return f"{what} that {by} asked for" if by else f"{what} that somebody asked for"

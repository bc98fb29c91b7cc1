"""Stored builds in, requests for jobs out."""

from estafette_common.bus import identity
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import Kind
from estafette_common.manifest.reading import check, parse

from manifest_planner import planning
from manifest_planner.declared import triggers_of
from manifest_planner.memories import Memories
from manifest_planner.planning import BuildRow, Server
from manifest_planner.sealing import Sealer


class Requests:
    """Asks for the jobs of builds. All that is needed is stored with the build."""

    def __init__(self, memories: Memories, sealer: Sealer, bus: Publisher, *, server: Server) -> None:
        self._memories = memories
        self._sealer = sealer
        self._bus = bus
        self._server = server

    async def request(self, build: BuildRow) -> None:
        """Ask for the job of a build; asking again is harmless."""
        manifest, repository = check(build.manifest).manifest or parse(build.manifest), build.repository
        url = planning.clone_url(self._server.clone_url, repository)
        token = await self._sealer.clone_token(repository, url, build.installation)
        remembered = await self._memories.recall(triggers_of(manifest, repository.pipeline))
        plan = planning.plan(build, manifest, server=self._server, clone_token=token, remembered=remembered)
        sealed, key = self._sealer.seal(plan)
        requested = JobRequested(kind=Kind.BUILD, job_id=build.id, plan=sealed, sealed_key=key)
        await self._bus.publish(requested, id=identity.derive(build.id, "job-requested"))

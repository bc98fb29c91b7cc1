"""Stored builds, releases and runs of bots in, requests for their jobs out."""

from estafette_common.bus import identity
from estafette_common.bus.messages.jobs import JobRequested
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Plan
from estafette_common.manifest.model import Manifest
from estafette_common.manifest.reading import check, parse

from manifest_planner import planning, releasing
from manifest_planner.builds import Builds
from manifest_planner.choosing import Chosen
from manifest_planner.chosen import Before
from manifest_planner.declared import triggers_of
from manifest_planner.memories import Memories
from manifest_planner.planning import BuildRow, Server
from manifest_planner.releasing import Job
from manifest_planner.sealing import Sealer
from manifest_planner.usages import Usages


class Requests:
    """Asks for jobs. All that is needed is stored with them; whoever asks again asks the same."""

    def __init__(
        self,
        builds: Builds,
        before: Before,
        memories: Memories,
        usages: Usages,
        sealer: Sealer,
        bus: Publisher,
        *,
        server: Server,
    ) -> None:
        self._builds = builds
        self._before = before
        self._memories = memories
        self._usages = usages
        self._sealer = sealer
        self._bus = bus
        self._server = server

    async def request(self, kind: Kind, job_id: str) -> None:
        """Ask for a job; asking again is harmless. What is not there any more is not asked for."""
        plan = await self._plan(kind, job_id)
        if plan is None:
            return
        sealed, key = self._sealer.seal(plan)
        measured = await self._usages.measured(plan)
        requested = JobRequested(kind=kind, job_id=job_id, plan=sealed, sealed_key=key, measured=measured)
        await self._bus.publish(requested, id=identity.derive(job_id, "job-requested"))

    async def _plan(self, kind: Kind, job_id: str) -> Plan | None:
        if kind is Kind.BUILD:
            build = await self._builds.get(job_id)
            return await self._of_build(build) if build else None
        known = await self._before.job(kind, job_id)
        return await self._of_chosen(*known) if known else None

    async def _of_build(self, build: BuildRow) -> Plan:
        manifest = check(build.manifest).manifest or parse(build.manifest)
        token, remembered = await self._beside(build, manifest)
        return planning.plan(build, manifest, server=self._server, clone_token=token, remembered=remembered)

    async def _of_chosen(self, job: Job, chosen: Chosen) -> Plan:
        token, remembered = await self._beside(chosen.build, chosen.manifest)
        return releasing.plan(
            job, chosen.build, chosen.manifest, server=self._server, clone_token=token, remembered=remembered
        )

    async def _beside(self, build: BuildRow, manifest: Manifest) -> tuple[str, tuple[dict[str, object], ...]]:
        """Return a token to clone with, and what named triggers remember."""
        url = planning.clone_url(self._server.clone_url, build.repository)
        token = await self._sealer.clone_token(build.repository, url, build.installation)
        return token, await self._memories.recall(triggers_of(manifest, build.repository.pipeline))

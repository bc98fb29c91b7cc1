"""What a release or a run of a bot was stored with: it stays chosen, however often it is asked for."""

from estafette_common.jobs.lifecycle import Kind

from manifest_planner.bots import Bots
from manifest_planner.builds import Builds
from manifest_planner.choosing import Chosen, bot_of, release_of
from manifest_planner.planning import Ignored
from manifest_planner.releases import ReleaseRow, Releases
from manifest_planner.releasing import Job


class Before:
    """Looks up what was chosen before."""

    def __init__(self, builds: Builds, releases: Releases, bots: Bots) -> None:
        self._builds = builds
        self._releases = releases
        self._bots = bots

    async def chosen(self, kind: Kind, job_id: str) -> Chosen | Ignored | None:
        """Return what was chosen for a release or a run of a bot; nothing when there is none of this id."""
        if kind is Kind.RELEASE:
            release = await self._releases.get(job_id)
            build = await self._builds.get(release.build_id) if release else None
            return release_of(build, release.target, release.action) if release and build else None
        run = await self._bots.get(job_id)
        build = await self._builds.get(run.build_id) if run else None
        return bot_of(build, run.bot) if run and build else None

    async def job(self, kind: Kind, job_id: str) -> tuple[Job, Chosen] | None:
        """Return a release or a run of a bot as a job, and what was chosen for it; nothing when that is not there."""
        row = await (self._releases.get(job_id) if kind is Kind.RELEASE else self._bots.get(job_id))
        chosen = await self.chosen(kind, job_id) if row else None
        if row is None or not isinstance(chosen, Chosen):
            return None
        return Job(
            kind=kind,
            id=job_id,
            runs=chosen.runs,
            action=row.action if isinstance(row, ReleaseRow) else "",
            events=row.events,
        ), chosen

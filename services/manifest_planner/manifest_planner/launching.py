"""Wishes for releases and bots in, jobs out: what is wished for is chosen once, however often the wish is heard."""

from dataclasses import dataclass
from typing import Any

from estafette_common.bus import identity
from estafette_common.bus.messages.message import Cause
from estafette_common.jobs.lifecycle import Kind
from estafette_common.jobs.plan import Repository
from estafette_common.triggers.model import ReleaseAction, RunAction

from manifest_planner.bots import NewBot
from manifest_planner.choosing import Chooser
from manifest_planner.chosen import Before
from manifest_planner.planning import Ignored, Refused
from manifest_planner.releases import NewRelease
from manifest_planner.runner import Begun, Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who wishes for a release or a run of a bot."""

    repository: Repository
    event: dict[str, Any]
    """What fired, as stages are told of it."""
    reason: str
    """For people."""
    hops: int = 0
    """How many triggers fired one after the other."""
    by_hand: bool = False
    own: str = ""
    """The id that the build of the push has that fired; empty where no push to the pipeline did."""


class Launcher:
    """Begins releases and runs of bots. The id comes from the cause."""

    def __init__(self, chooser: Chooser, before: Before, runner: Runner) -> None:
        self._chooser = chooser
        self._before = before
        self._runner = runner

    async def release(self, wish: Wish, wanted: ReleaseAction, cause: Cause) -> Begun:
        """Begin a release, or say why there is none."""
        release_id = identity.job_id(wish.repository.pipeline, cause.id)
        chosen = await self._before.chosen(Kind.RELEASE, release_id) or await self._chooser.release(
            wish.repository, wanted, wish.event, by_hand=wish.by_hand
        )
        if isinstance(chosen, Ignored):
            return Begun(decision="refused" if isinstance(chosen, Refused) else "ignored", reason=chosen.reason)
        new = NewRelease(
            id=release_id,
            repository=chosen.build.repository,
            target=wanted.target,
            action=wanted.action,
            version=chosen.build.version,
            build_id=chosen.build.id,
            events=(wish.event,),
            hops=wish.hops,
        )
        return await self._runner.release(new, chosen, cause, reason=wish.reason)

    async def bot(self, wish: Wish, wanted: RunAction, cause: Cause) -> Begun:
        """Begin a run of a bot, or say why there is none."""
        run_id = identity.job_id(wish.repository.pipeline, cause.id)
        chosen = await self._before.chosen(Kind.BOT, run_id) or await self._chooser.bot(
            wish.repository, wanted, own=wish.own
        )
        if isinstance(chosen, Ignored):
            return Begun(decision="ignored", reason=chosen.reason)
        new = NewBot(
            id=run_id,
            repository=chosen.build.repository,
            bot=wanted.bot,
            build_id=chosen.build.id,
            events=(wish.event,),
            hops=wish.hops,
        )
        return await self._runner.bot(new, chosen, cause, reason=wish.reason)

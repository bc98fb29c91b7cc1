"""What forges tell of whole repositories in, pipelines moved and archived out; each is a decision that is told."""

import structlog
from estafette_common.bus.messages.events import BitbucketEvent, DecisionMade, GithubEvent
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.publishing import Publisher
from estafette_common.jobs.plan import Repository

from manifest_planner import moving
from manifest_planner.decisions import Decisions
from manifest_planner.matcher import Payloads
from manifest_planner.moving import Archived, Change, Moved
from manifest_planner.places import Places

log = structlog.get_logger()


class Repositories:
    """Lets pipelines follow their repositories. Nothing of their history is lost.

    What was decided once stays: a webhook that somebody sends again, days later, is no news.
    """

    def __init__(self, places: Places, payloads: Payloads, decisions: Decisions, bus: Publisher) -> None:
        self._places = places
        self._payloads = payloads
        self._decisions = decisions
        self._bus = bus

    async def on_github(self, told: GithubEvent, cause: Cause) -> None:
        """Follow a repository of GitHub."""
        await self._follow(moving.of_github(await self._payloads.of(told)), cause)

    async def on_bitbucket(self, told: BitbucketEvent, cause: Cause) -> None:
        """Follow a repository of Bitbucket."""
        await self._follow(moving.of_bitbucket(told.kind, told.payload), cause)

    async def _follow(self, change: Change | None, cause: Cause) -> None:
        match change:
            case Moved(old=old, new=new, reason=reason):
                if not await self._decisions.made(cause):
                    await self._places.move(old, new, at=cause.time)
                await self._decide("moved", reason, new, cause)
            case Archived(place=place, archived=archived, reason=reason):
                if not await self._decisions.made(cause):
                    await self._places.archive(place, archived=archived, at=cause.time)
                await self._decide("archived" if archived else "unarchived", reason, place, cause)

    async def _decide(self, decision: str, reason: str, place: Repository, cause: Cause) -> None:
        made = DecisionMade(
            subject_kind="repository",
            cause_id=cause.id,
            decision=decision,
            reason=reason,
            repository=place,
            ref="",
            revision="",
        )
        await self._decisions.add(made, cause)
        await self._bus.publish(made, id=cause.derive("decision"))
        log.info("decided", about="repository", pipeline=place.pipeline, decision=decision, reason=made.reason)

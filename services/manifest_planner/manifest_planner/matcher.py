"""Events in, firings of triggers out: one message for each, so that none keeps another back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from estafette_common.bus import identity
from estafette_common.bus.messages import events as messages
from estafette_common.bus.messages.message import Cause
from estafette_common.bus.messages.triggers import Fire
from estafette_common.bus.publishing import GroupPublisher
from estafette_common.triggers.event_documents import KINDS
from estafette_common.triggers.events import CronEvent, DockerEvent, Event
from estafette_common.triggers.model import DockerTrigger

from manifest_planner import firing, trigger_events
from manifest_planner.decisions import Decisions
from manifest_planner.firing import Candidate
from manifest_planner.schedules import Schedules
from manifest_planner.trigger_keys import keys_for
from manifest_planner.triggers import Triggers


class Payloads(Protocol):
    """Where the payloads of webhooks are."""

    async def of(self, event: messages.GithubEvent) -> bytes:
        """Return the payload of an event."""
        ...


class Ticks(Protocol):
    """What is known of the minutes that were told."""

    async def late(self, tick: messages.CronTicked, cause: Cause) -> int:
        """Return how many minutes a tick comes late."""
        ...


class Matcher:
    """Finds what events fire. Only triggers that the index gives for an event are looked at."""

    def __init__(
        self,
        triggers: Triggers,
        schedules: Schedules,
        decisions: Decisions,
        payloads: Payloads,
        ticks: Ticks,
        bus: GroupPublisher,
    ) -> None:
        self._triggers = triggers
        self._schedules = schedules
        self._decisions = decisions
        self._payloads = payloads
        self._ticks = ticks
        self._bus = bus

    async def on_push(self, push: messages.GitPushed, cause: Cause) -> None:
        """Fire what waits for a push to a branch."""
        event = trigger_events.of_push(push)
        if event is not None:
            await self._match(event, cause)

    async def on_build(self, build: messages.PipelineChanged, cause: Cause) -> None:
        """Fire what waits for a build."""
        await self._match(trigger_events.of_build(build), cause, hops=build.hops)

    async def on_release(self, release: messages.ReleaseChanged, cause: Cause) -> None:
        """Fire what waits for a release."""
        await self._match(trigger_events.of_release(release), cause, hops=release.hops)

    async def on_tick(self, tick: messages.CronTicked, cause: Cause) -> None:
        """Fire what waits for a minute."""
        event = trigger_events.of_tick(tick, late=await self._ticks.late(tick, cause))
        due = tuple(each for each in await self._schedules.around(event.time) if each.is_due(event))
        if not due:
            return
        candidates = await self._triggers.candidates(KINDS[type(event)], keys_for(event, due))
        await self._publish(firing.fires(candidates, event, event_id=cause.id))
        for candidate in candidates:
            await self._pass_over(candidate, event, cause)

    async def _pass_over(self, candidate: Candidate, event: CronEvent, cause: Cause) -> None:
        """Record why a trigger does not fire that would have, had the minute come in time."""
        made = firing.passed_over(candidate, event, event_id=cause.id)
        if made is not None:
            purpose = firing.purpose(candidate)
            await self._decisions.add(made, cause, purpose=purpose)
            await self._bus.publish_all({identity.derive(cause.derive(purpose), "decision"): made})

    async def on_pubsub(self, received: messages.PubSubReceived, cause: Cause) -> None:
        """Fire what waits for a message of a topic."""
        await self._match(trigger_events.of_pubsub(received), cause)

    async def on_github(self, told: messages.GithubEvent, cause: Cause) -> None:
        """Fire what waits for a webhook of GitHub."""
        payload = await self._payloads.of(told)
        await self._match(trigger_events.of_github(told, payload, delivery=cause.id), cause)

    async def on_bitbucket(self, told: messages.BitbucketEvent, cause: Cause) -> None:
        """Fire what waits for a webhook of Bitbucket."""
        await self._match(trigger_events.of_bitbucket(told), cause)

    async def on_image(self, pushed: messages.RegistryPushed, cause: Cause) -> None:
        """Fire what waits for a tag of an image, each compared with the one that it dealt with last."""
        seen = trigger_events.of_image(pushed)
        for candidate in await self._triggers.candidates("docker", keys_for(seen)):
            if isinstance(candidate.trigger.filter, DockerTrigger):
                await self._match_image(candidate, candidate.trigger.filter, seen, cause)

    async def _match_image(self, candidate: Candidate, trigger: DockerTrigger, seen: DockerEvent, cause: Cause) -> None:
        event = replace(seen, handled=await self._triggers.watched(candidate))
        fire = firing.fired(candidate, event, event_id=cause.id)
        if fire is not None:
            await self._publish([fire])
        tag = firing.noted(trigger, event, fires=fire is not None)
        if tag is not None:
            await self._triggers.watch(candidate, tag)

    async def _match(self, event: Event, cause: Cause, *, hops: int = 0) -> None:
        candidates = await self._triggers.candidates(KINDS[type(event)], keys_for(event))
        await self._publish(firing.fires(candidates, event, event_id=cause.id, hops=hops))

    async def _publish(self, fires: Sequence[Fire]) -> None:
        if fires:
            await self._bus.publish_all({firing.message_id(fire): fire for fire in fires})

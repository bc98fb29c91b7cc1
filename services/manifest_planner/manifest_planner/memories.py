"""What named triggers remember: the last build or release that matched, whatever started a job."""

from collections.abc import Iterable
from typing import Any

import structlog
from estafette_common.database.pool import Database
from estafette_common.triggers import event_documents
from estafette_common.triggers.events import Event, PipelineEvent, ReleaseEvent, TriggerEvent
from estafette_common.triggers.model import Trigger
from estafette_common.triggers.named import LastBuild, LastRelease, remembered

from manifest_planner.builds import NEWEST_FIRST

log = structlog.get_logger()

FINISHED = "finished"


class Memories:
    """Looks up builds and releases. What there is none of is left out, so that it keeps no job back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recall(self, triggers: Iterable[Trigger]) -> tuple[dict[str, Any], ...]:
        """Return what the named ones among the triggers of a manifest remember, as stages are told of events."""
        found = []
        for trigger in triggers:
            wanted = remembered(trigger)
            event = await self._last(wanted) if wanted else None
            if wanted is None:
                continue
            if event is None:
                log.info("nothing to remember", trigger=wanted.name, pipeline=wanted.pipeline)
            else:
                found.append(event_documents.write(TriggerEvent(event, name=wanted.name, fired=False)))
        return tuple(found)

    async def _last(self, wanted: LastBuild | LastRelease) -> Event | None:
        source, owner, name = (*wanted.pipeline.split("/", 2), "", "")[:3]
        match wanted:
            case LastBuild(branches=branches):
                row = await self._database.pool.fetchrow(LAST_BUILD, source, owner, name, list(branches))
                return PipelineEvent(**row, status="succeeded", event=FINISHED) if row else None
            case LastRelease(target=target):
                row = await self._database.pool.fetchrow(LAST_RELEASE, source, owner, name, target)
                return ReleaseEvent(**row, status="succeeded", event=FINISHED) if row else None


LAST_BUILD = f"""
    SELECT version AS build_version, source AS repo_source, owner AS repo_owner, name AS repo_name,
        branch AS repo_branch
    FROM builds WHERE source = $1 AND owner = $2 AND name = $3 AND branch = ANY($4) AND status = 'succeeded'
    ORDER BY {NEWEST_FIRST} LIMIT 1
"""  # noqa: S608  constants

LAST_RELEASE = """
    SELECT version AS release_version, source AS repo_source, owner AS repo_owner, name AS repo_name, target
    FROM releases WHERE source = $1 AND owner = $2 AND name = $3 AND target = $4 AND status = 'succeeded'
    ORDER BY finished_at DESC NULLS LAST, inserted_at DESC, id DESC LIMIT 1
"""

"""Preparing a stage before it is sure that it will run, and run like that."""

import asyncio

from builder.runtimes import PreparedStage, StageRun, StageRuntime


class Preparing:
    """Prepares stages; at most one ahead of its turn."""

    def __init__(self, runtime: StageRuntime) -> None:
        self._runtime = runtime
        self._stage: StageRun | None = None
        self._task: asyncio.Task[PreparedStage] | None = None

    def begin(self, stage: StageRun) -> None:
        """Begin to prepare a stage that will probably run next."""
        self._stage, self._task = stage, asyncio.create_task(self._runtime.prepare(stage))

    async def prepared(self, stage: StageRun) -> PreparedStage:
        """Return the stage, prepared: what was begun, if it is exactly that. Raises StageError."""
        if self._task is None or self._stage != stage:
            await self.drop()
            return await self._runtime.prepare(stage)
        ready = await asyncio.shield(self._task)
        self._task = None
        return ready

    async def drop(self) -> None:
        """Let go of what was begun and not taken."""
        begun, self._task = self._task, None
        if begun is None:
            return
        begun.cancel()
        await asyncio.wait([begun])
        if not begun.cancelled() and begun.exception() is None:
            begun.result().drop()

"""Preparing a stage before it is sure that it will run, and run like that."""

import asyncio

from builder.runtimes import PreparedStage, Say, StageRun, StageRuntime, silent


class Preparing:
    """Prepares stages; at most one ahead of its turn."""

    def __init__(self, runtime: StageRuntime) -> None:
        self._runtime = runtime
        self._stage: StageRun | None = None
        self._task: asyncio.Task[PreparedStage] | None = None
        self._said: list[str] = []
        self._say: Say = self._said.append

    def begin(self, stage: StageRun) -> None:
        """Begin to prepare a stage that will probably run next."""
        self._stage, self._task = stage, asyncio.create_task(self._runtime.prepare(stage, self._tell))

    async def prepared(self, stage: StageRun, say: Say = silent) -> PreparedStage:
        """Return the stage, prepared: what was begun, if it is exactly that. Raises StageError.

        What takes long is said, and what there was to say before now.
        """
        if self._task is None or self._stage != stage:
            await self.drop()
            return await self._runtime.prepare(stage, say)
        for line in self._said:
            say(line)
        self._say = say
        await asyncio.wait([self._task])
        ready, self._task = self._task, None
        return ready.result()

    def _tell(self, line: str) -> None:
        self._say(line)

    async def drop(self) -> None:
        """Let go of what was begun and not taken."""
        begun, self._task = self._task, None
        if begun is None:
            return
        begun.cancel()
        await asyncio.wait([begun])
        if not begun.cancelled() and begun.exception() is None:
            begun.result().drop()

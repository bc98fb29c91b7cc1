"""Parts of a service that do something all the time."""

import asyncio

from estafette_common.service import Background


class Deaf(Background):
    """A part that loses what tells it to end, as `wait_for` may."""

    def __init__(self, losses: int) -> None:
        self._losses = losses
        self.began = asyncio.Event()

    async def _run(self) -> None:
        self.began.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not self._losses:
                    raise
                self._losses -= 1


async def test_a_part_ends_though_it_lost_that_it_should() -> None:
    part = Deaf(losses=2)
    await part.start()
    await part.began.wait()

    async with asyncio.timeout(10):
        await part.stop()

    assert not await part.ready()


async def test_a_part_that_was_never_started_can_be_stopped() -> None:
    await Deaf(losses=0).stop()

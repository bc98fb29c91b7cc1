"""How all jobs stand, for one look at the whole system."""

from dataclasses import asdict

from aiohttp import web
from estafette_common.database.pool import Database
from estafette_common.jobs import counting


class Overview:
    """Counts jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, _: web.Request) -> web.Response:
        """Show how many jobs there are by kind and state, and how those of the last day ended."""
        unfinished, ended = await counting.unfinished(self._database), await counting.ended(self._database)
        return web.json_response(
            {"unfinished": [asdict(each) for each in unfinished], "ended": [asdict(each) for each in ended]}
        )

"""What a list was asked for: page, sort, filters. Pure; only names from fixed lists ever reach SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from estafette_common.jobs.lifecycle import Status
from multidict import MultiMapping

from api.errors import BadRequestError

PAGE_SIZE = 20
LARGEST_PAGE = 100
LAST_PAGE = 100_000

SINCE = {
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
    "1w": timedelta(weeks=1),
    "1m": timedelta(days=30),
    "1y": timedelta(days=365),
    "eternity": None,
}

SORTS = {
    "inserted": "b.inserted_at",
    "insertedAt": "b.inserted_at",
    "created": "b.inserted_at",
    "updatedAt": "b.updated_at",
    "source": "b.source",
    "owner": "b.owner",
    "name": "b.name",
    "branch": "b.branch",
    "version": "b.version",
    "status": "b.status",
}
"""Sort fields a client may name, and the column each means."""

STATUSES = frozenset(Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A list request that was understood."""

    page: int = 1
    size: int = PAGE_SIZE
    order: str = "b.inserted_at DESC NULLS LAST"
    """An ORDER BY made of fixed names alone."""
    statuses: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    search: str = ""
    since: datetime | None = None
    archived: bool = False
    """Of pipelines: whether those are listed whose repositories are archived, or the others."""

    @property
    def offset(self) -> int:
        """How many rows come before the page."""
        return (self.page - 1) * self.size


def parse(parameters: MultiMapping[str], *, now: datetime) -> Query:
    """Return what the parameters ask for; BadRequestError names the one that is wrong."""
    statuses = tuple(value for value in parameters.getall("filter[status]", []) if value != "all")
    for status in statuses:
        if status not in STATUSES:
            raise BadRequestError(f"filter[status]: {status!r} is none of all, {', '.join(sorted(STATUSES))}")
    return Query(
        page=_number(parameters, "page[number]", default=1, most=LAST_PAGE),
        size=_number(parameters, "page[size]", default=PAGE_SIZE, most=LARGEST_PAGE),
        order=_order(parameters.get("sort", "-inserted")),
        statuses=statuses,
        branches=tuple(parameters.getall("filter[branch]", [])),
        search=parameters.get("filter[search]", ""),
        archived=_yes(parameters, "filter[archived]"),
        since=_since(parameters.get("filter[since]", "eternity"), now),
    )


def _number(parameters: Mapping[str, str], name: str, *, default: int, most: int) -> int:
    text = parameters.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not text.strip("0"):
        raise BadRequestError(f"{name}: {text[:20]!r} is not a whole number from 1 on")
    digits = text.lstrip("0")
    return min(int(digits), most) if len(digits) <= len(str(most)) else most


def _yes(parameters: Mapping[str, str], name: str) -> bool:
    text = parameters.get(name, "false")
    if text not in {"true", "false"}:
        raise BadRequestError(f"{name}: {text[:20]!r} is neither true nor false")
    return text == "true"


def _order(text: str) -> str:
    parts = []
    for field in text.split(","):
        name = field.removeprefix("-")
        if name not in SORTS:
            raise BadRequestError(f"sort: {name[:40]!r} is none of {', '.join(SORTS)}")
        parts.append(f"{SORTS[name]} {'DESC NULLS LAST' if field.startswith('-') else 'ASC NULLS LAST'}")
    return ", ".join([*parts, "b.id DESC NULLS LAST"])


def _since(text: str, now: datetime) -> datetime | None:
    if text not in SINCE:
        raise BadRequestError(f"filter[since]: {text[:20]!r} is none of {', '.join(SINCE)}")
    ago = SINCE[text]
    return now - ago if ago is not None else None

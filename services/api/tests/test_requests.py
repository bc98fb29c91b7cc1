"""What a list may be asked for, and how what is not understood is answered."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from api import queries
from api.errors import BadRequestError
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

NOW = datetime(2026, 1, 31, tzinfo=UTC)
PIPELINE = "/api/pipelines/github.com/acme/shop"


def parsed(*parameters: tuple[str, str]) -> queries.Query:
    return queries.parse(MultiDict(parameters), now=NOW)


@pytest.mark.parametrize(("asked", "given"), [("1", 1), ("100", 100), ("101", 100), ("4711", 100)])
def test_a_page_holds_a_hundred_at_most(asked: str, given: int) -> None:
    assert parsed(("page[size]", asked)).size == given


def test_a_page_holds_twenty_when_nothing_is_said() -> None:
    assert (parsed().page, parsed().size) == (1, 20)


@pytest.mark.parametrize("text", ["0", "-1", "", "x", "1.5", "1e3", " 1", "²", "\u0661"])
@pytest.mark.parametrize("name", ["page[number]", "page[size]"])
def test_a_page_that_is_no_number_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(BadRequestError, match=name.replace("[", r"\[")):
        parsed((name, text))


def test_a_page_far_away_is_the_last_one_there_may_be() -> None:
    assert parsed(("page[number]", "9" * 5000)).page == queries.LAST_PAGE


def test_several_sorts_apply_in_turn() -> None:
    assert (
        parsed(("sort", "-status,name")).order
        == "b.status DESC NULLS LAST, b.name ASC NULLS LAST, b.id DESC NULLS LAST"
    )


@pytest.mark.parametrize("text", ["", "-", "--name", "name,", "name desc", "b.name", "name;--", "(select 1)", "NAME"])
def test_a_sort_that_is_not_listed_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="sort"):
        parsed(("sort", text))


@given(st.text())
def test_no_text_of_a_client_becomes_sql(text: str) -> None:
    known = {f"{column} {way} NULLS LAST" for column in queries.SORTS.values() for way in ("ASC", "DESC")}
    try:
        order = parsed(("sort", text)).order
    except BadRequestError:
        return
    assert set(order.split(", ")) <= known | {"b.id DESC NULLS LAST"}


@pytest.mark.parametrize(
    ("text", "ago"), [("1h", timedelta(hours=1)), ("1w", timedelta(weeks=1)), ("1m", timedelta(days=30))]
)
def test_since_is_counted_back_from_now(text: str, ago: timedelta) -> None:
    assert parsed(("filter[since]", text)).since == NOW - ago
    assert parsed(("filter[since]", "eternity")).since is None


def test_the_status_all_switches_the_filter_off() -> None:
    assert parsed(("filter[status]", "all")).statuses == ()


@pytest.mark.parametrize(
    "path",
    [
        "/api/pipelines?sort=name;drop%20table%20builds",
        "/api/pipelines?sort=(select%20pg_sleep(9))",
        f"{PIPELINE}/builds?sort=-id)%20--",
    ],
)
async def test_sql_in_a_sort_is_refused(scene: Any, path: str) -> None:
    async with scene.session.get(scene.url + path) as response:
        assert response.status == 400
        assert "sort" in (await response.json())["message"]


@pytest.mark.parametrize("text", ["' OR '1'='1", "%", "_", "\\", "';--"])
async def test_sql_in_a_search_is_text(scene: Any, text: str) -> None:
    await scene.build()

    async with scene.session.get(f"{scene.url}/api/pipelines", params={"filter[search]": text}) as response:
        assert response.status == 200
        assert (await response.json())["items"] == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/pipelines?filter[search]=%00", 400),
        (f"{PIPELINE}/builds?filter[branch]=%00", 400),
        (f"{PIPELINE}/builds/%00", 404),
        ("/api/pipelines/github.com/acme/%00", 404),
    ],
)
async def test_a_nul_is_a_fault_of_the_request(scene: Any, path: str, expected: int) -> None:
    async with scene.session.get(scene.url + path) as response:
        assert response.status == expected


async def test_another_method_is_refused_in_the_same_shape(scene: Any) -> None:
    async with scene.session.post(f"{scene.url}/api/pipelines") as response:
        assert response.status == 405
        assert await response.json() == {"code": "Method Not Allowed", "message": "Method Not Allowed"}


async def test_names_are_taken_as_they_are(scene: Any) -> None:
    await scene.build(name="shop.web-2_x")

    assert (await scene.person.get("/api/pipelines/github.com/acme/shop.web-2_x"))["repoName"] == "shop.web-2_x"


async def test_a_build_of_another_pipeline_is_not_found(scene: Any) -> None:
    await scene.build("7")
    await scene.build("8", name="other")

    async with scene.session.get(f"{scene.url}{PIPELINE}/builds/8/logs") as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/pipelines",
        PIPELINE,
        f"{PIPELINE}/builds",
        f"{PIPELINE}/builds/7",
        f"{PIPELINE}/builds/{1:040x}",
        f"{PIPELINE}/builds/7/logs",
        f"{PIPELINE}/builds/7/alllogs",
    ],
)
async def test_no_answer_shows_a_secret_of_the_manifest(scene: Any, path: str) -> None:
    secret = "estafette.secret(deFTz5Bdjg6SUe29.oPIkXbze5G9PNEWS2-ZnArl8BCqHnx4MdTdxHg37th9u)"
    await scene.build(manifest=f"env:\n  A: {secret}\n  B: x{secret}y {secret}\n")

    async with scene.session.get(scene.url + path) as response:
        text = await response.text()

    assert response.status == 200
    assert "deFTz5Bdjg6SUe29" not in text

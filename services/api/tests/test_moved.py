"""Pipelines that moved or are archived, as the API shows them."""

from typing import Any

import pytest

SHOP, STORE = "/api/pipelines/github.com/acme/shop", "/api/pipelines/github.com/acme/store"


@pytest.mark.parametrize("path", ["", "/builds", "/builds/7", "/builds/7/logs", "/builds?page[size]=2"])
async def test_an_old_name_leads_to_the_new_one(scene: Any, path: str) -> None:
    await scene.build("7", name="store")
    await scene.end()
    await scene.database.pool.execute(
        "INSERT INTO pipelines (source, owner, name, moved_to) VALUES ('github.com', 'acme', 'shop', $1)",
        STORE.removeprefix("/api/pipelines/"),
    )

    assert await scene.person.get(SHOP + path) == await scene.person.get(STORE + path)


async def test_archived_pipelines_are_listed_where_they_are_asked_for(scene: Any) -> None:
    await scene.build("7", name="shop")
    await scene.build("8", name="old", counter=2)
    await scene.database.pool.execute("UPDATE pipelines SET archived = true WHERE name = 'old'")

    async def names(filter: str) -> list[str]:
        return [each["repoName"] for each in (await scene.person.get(f"/api/pipelines{filter}"))["items"]]

    assert await names("") == await names("?filter[archived]=false") == ["shop"]
    assert await names("?filter[archived]=true") == ["old"]
    assert (await scene.person.get("/api/pipelines/github.com/acme/old"))["archived"] is True


async def test_archived_is_true_or_false(scene: Any) -> None:
    async with scene.session.get(f"{scene.url}/api/pipelines?filter[archived]=maybe") as response:
        assert response.status == 400

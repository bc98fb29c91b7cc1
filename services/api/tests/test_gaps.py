"""A live log is put together from what is stored and what the stream holds; neither has to have all of it."""

from typing import Any

import pytest
from api.logs import Logs
from api.ordering import BEGINNING
from estafette_common.bus.messages.logs import LogChunk
from estafette_common.bus.subjects import LOG, fill


async def test_what_the_stream_no_longer_holds_comes_from_the_database(scene: Any) -> None:
    await scene.build()
    one, two, three, four = scene.log("1", "2", "3", "4")
    await scene.publish(one, two, three)
    await scene.store(one, two)
    await scene.jetstream.purge_stream("LOGS", subject=fill(LOG, kind="build", job_id="7"), keep=1)
    viewer = scene.viewer()
    await scene.followed()

    await scene.publish(four)
    await scene.end()

    assert scene.texts(await viewer) == ["1", "2", "3", "4"]


async def test_what_is_not_stored_yet_comes_from_the_stream(scene: Any) -> None:
    await scene.build()
    chunks = scene.log("1", "2", "3", "4")
    await scene.publish(*chunks)
    await scene.store(*chunks[:2])
    await scene.end()

    assert scene.texts(await scene.watch()) == ["1", "2", "3", "4"]


async def test_chunks_that_were_stored_in_another_order_hide_none(scene: Any) -> None:
    await scene.build()
    one, two, three, four = scene.log("1", "2", "3", "4")
    await scene.publish(one, two, three)
    await scene.store(one, three)
    viewer = scene.viewer()
    await scene.followed()

    await scene.publish(four)
    await scene.end()

    assert scene.texts(await viewer) == ["1", "2", "3", "4"]


async def test_an_end_that_is_stored_first_does_not_close_the_log(scene: Any) -> None:
    await scene.build(status="succeeded")
    one, two, three = scene.log("1", "2", "3")
    await scene.publish(one, two, three)
    await scene.store(one, three)

    assert scene.texts(await scene.watch()) == ["1", "2", "3"]


async def test_the_last_word_of_the_control_plane_hides_no_line_of_the_builder(scene: Any) -> None:
    await scene.build(status="failed")
    one, two = scene.log("1", "2")
    lost = scene.chunk(1, "lost", first=1, attempt=0, end="lost")
    await scene.publish(one, two, lost)
    await scene.store(one, lost)

    assert scene.texts(await scene.watch()) == ["1", "2", "lost"]


async def test_a_log_may_be_compacted_while_it_is_read(scene: Any) -> None:
    await scene.build(status="succeeded")
    one, two, three = scene.log("1", "2", "3")
    await scene.store(one, two, three)
    reading = Logs(scene.database).after("7", BEGINNING)
    read = [await anext(reading)]

    await scene.database.pool.execute("DELETE FROM log_chunks")
    whole = LogChunk(
        kind="build", job_id="7", attempt=1, number=1, first=1, entries=[*one.entries, *two.entries, *three.entries]
    )
    await scene.store(whole, last_number=3)
    read += [chunk async for chunk in reading]

    numbers = {chunk.first + n for chunk in read for n in range(len(chunk.entries))}
    assert numbers == {1, 2, 3, 4}


async def test_a_viewer_goes_on_within_a_compacted_row(scene: Any) -> None:
    await scene.build(status="succeeded")
    await scene.store(scene.chunk(1, *(f"{n}" for n in range(1, 101)), first=1, end="succeeded"), last_number=40)

    told = await scene.watch(last_id="1-97")

    assert [each.id for each in told] == ["1-98", "1-99", "1-100"]


async def test_a_viewer_of_an_older_attempt_goes_on_with_the_newest(scene: Any) -> None:
    await scene.build()
    await scene.publish(scene.chunk(1, "a", "b", first=1))
    await scene.publish(scene.chunk(1, "c", first=1, attempt=2, end="succeeded"))
    await scene.end()

    assert scene.texts(await scene.watch(last_id="1-1")) == ["b", "c"]


async def test_an_attempt_without_an_end_keeps_its_viewers_waiting_for_the_next(scene: Any) -> None:
    await scene.build()
    await scene.publish(scene.chunk(1, "killed", first=1))
    viewer = scene.viewer()
    await scene.followed()

    await scene.publish(scene.chunk(1, "again", first=1, attempt=2, end="succeeded"))
    await scene.end()

    assert scene.texts(await viewer) == ["killed", "again"]


async def test_a_build_that_ended_without_a_log_closes_its_stream(scene: Any) -> None:
    await scene.build(status="canceled")

    assert await scene.watch() == []


@pytest.mark.parametrize("last_id", ["nonsense", "-", "1-", "1-x", "9" * 5000])
async def test_an_id_that_names_nothing_means_the_beginning(scene: Any, last_id: str) -> None:
    await scene.build(status="succeeded")
    await scene.store(*scene.log("1", "2"))

    assert scene.texts(await scene.watch(last_id=last_id)) == ["1", "2"]


async def test_a_message_that_is_no_chunk_hides_no_other(scene: Any) -> None:
    await scene.build()
    one, two = scene.log("1", "2")
    await scene.publish(one)
    await scene.jetstream.publish(fill(LOG, kind="build", job_id="7"), b"no chunk")
    await scene.publish(two)
    await scene.end()

    assert scene.texts(await scene.watch()) == ["1", "2"]

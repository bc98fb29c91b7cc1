"""Images from a registry with a password, pulled by a real Docker Engine."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
import pytest
from aiohttp import web
from builder import images
from builder.images import Images, Pulling
from builder.references import NoReferenceError, parse
from builder.runtimes import ImageSource, Login, StageError, StageRun, docker, silent
from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import PlannedService, PlannedStage
from estafette_common.manifest import secrets
from estafette_local.registry import Door, Shelf, serving
from estafette_local.waiting import eventually

BASE = "busybox:latest"


def login(shelf: Shelf) -> Login:
    return Login(username=shelf.registry.username, password=shelf.registry.password)


def stage(name: str, image: str, *commands: str, **fields: Any) -> PlannedStage:
    return PlannedStage(**{"name": name, "image": image, "commands": commands} | fields)


WAIT = "until [ -e go ]; do sleep 0.05; done"


def let_go(machine: Any) -> None:
    (machine.job_folder / "workspace/go").touch()


# --- with credentials ------------------------------------------------------------------------------------------------


async def test_an_image_is_pulled_with_the_credential_of_its_registry(docker_machine: Any, shelf: Shelf) -> None:
    image = await shelf.publish("acme/team/shop:1.2", "hello")
    await docker_machine.start(stage("test", image, "cat /content"), credentials=(shelf.credential(docker_machine),))

    assert (await docker_machine.finished()).outcome is Outcome.SUCCEEDED
    assert await docker_machine.printed("test") == ["hello"]
    told = (await docker_machine.last_change("test")).image
    assert (told.name, told.tag) == (f"{shelf.registry.host}/acme/team/shop", "1.2")
    assert (told.is_pulled, told.pull_duration > 0, told.image_size > 0) == (False, True, True)


async def test_a_container_knows_the_digest_and_the_age_of_its_image(docker_machine: Any, shelf: Shelf) -> None:
    image = await shelf.publish("acme/shop:1", "hello")
    beside = PlannedService(name="beside", image=image, commands=("env",), multi_stage=True)
    await docker_machine.start(
        stage("test", image, "env", services=(beside,)), credentials=(shelf.credential(docker_machine),)
    )
    await docker_machine.finished()

    shown = await shelf.engine.images.inspect(image)
    digest = (await docker_machine.last_change("test")).image.digest
    assert shown["RepoDigests"] == [f"{shelf.registry.host}/acme/shop@{digest}"]
    hexadecimal = digest.removeprefix("sha256:")
    in_stage, in_service = await docker_machine.printed("test"), await docker_machine.printed("beside")
    assert f"ESTAFETTE_STAGE_IMAGE_SHA={hexadecimal}" in in_stage
    assert f"ESTAFETTE_STAGE_IMAGE_CREATED_DATE={shown['Created']}" in in_stage
    assert f"ESTAFETTE_SERVICE_IMAGE_SHA={hexadecimal}" in in_service


async def test_an_image_may_be_named_by_its_digest_behind_a_port_and_a_tag(docker_machine: Any, shelf: Shelf) -> None:
    image = await shelf.publish("acme/shop:1", "hello")
    await shelf.engine.images.pull(image, auth=shelf.login_of_engine)
    [named] = (await shelf.engine.images.inspect(image))["RepoDigests"]
    digest = named.partition("@")[2]
    await shelf.engine.images.delete(image, force=True)

    await docker_machine.start(
        stage("test", f"{image}@{digest}", "cat /content"), credentials=(shelf.credential(docker_machine),)
    )
    await docker_machine.finished()

    assert await docker_machine.printed("test") == ["hello"]
    told = (await docker_machine.last_change("test")).image
    assert (told.name, told.tag, told.digest) == (f"{shelf.registry.host}/acme/shop", digest, digest)


async def test_without_its_credential_an_image_cannot_be_pulled(docker_machine: Any, shelf: Shelf) -> None:
    image = await shelf.publish("acme/shop:1", "hello")
    other = shelf.credential(docker_machine, repository=f"{shelf.registry.host}/other")
    await docker_machine.start(stage("test", image, "cat /content"), credentials=(other,))

    assert (await docker_machine.finished()).outcome is Outcome.FAILED
    [line] = await docker_machine.printed("test")
    assert line.startswith(f"the image {image} cannot be pulled: ")
    assert "no basic auth credentials" in line


async def test_a_wrong_password_is_told_without_it(docker_machine: Any, shelf: Shelf) -> None:
    image = await shelf.publish("acme/shop:1", "hello")
    wrong = shelf.credential(docker_machine, password="not-the-password")
    await docker_machine.start(stage("test", image, "cat /content"), credentials=(wrong,))

    assert (await docker_machine.finished()).outcome is Outcome.FAILED
    [line] = await docker_machine.printed("test")
    assert "unauthorized" in line
    assert "not-the-password" not in line


async def test_a_password_goes_to_its_own_registry_alone(docker_machine: Any) -> None:
    heard: list[str | None] = []

    async def curious(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Authorization"))
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="tell me"'})

    properties = {"username": "ci", "password": secrets.encrypt("hunter2", key=docker_machine.key)}
    credentials = (
        {"name": "hub", "type": "container-registry-pull", "additionalProperties": properties},
        {"name": "gcr", "type": "container-registry", "additionalProperties": {"repository": "gcr.io", **properties}},
        {"name": "none", "type": "container-registry", "additionalProperties": properties},
    )
    async with serving(curious) as host:
        await docker_machine.start(stage("test", f"{host}/acme/shop:1", "true"), credentials=credentials)
        await docker_machine.finished()

    assert heard
    assert set(heard) == {None}


# --- ahead of their turn ---------------------------------------------------------------------------------------------


async def test_images_of_later_stages_are_pulled_while_early_ones_run(docker_machine: Any, shelf: Shelf) -> None:
    inner, beside = await shelf.publish("acme/inner:1", "inner"), await shelf.publish("acme/beside:1", "beside")
    await docker_machine.start(
        stage("wait", BASE, WAIT),
        stage("outer", "", parallel_stages=(stage("inner", inner, "cat /content"),)),
        stage("last", BASE, "true", services=(PlannedService(name="beside", image=beside),)),
        credentials=(shelf.credential(docker_machine),),
    )

    await eventually(lambda: shelf.has(inner))
    await eventually(lambda: shelf.has(beside))
    let_go(docker_machine)
    assert (await docker_machine.finished()).outcome is Outcome.SUCCEEDED
    told = (await docker_machine.last_change("inner")).image
    assert (told.is_pulled, told.pull_duration > 0) == (False, True)


async def test_an_image_that_a_stage_pushes_is_what_the_next_one_runs(docker_machine: Any, shelf: Shelf) -> None:
    image = await shelf.publish("acme/shop:latest", "old")
    await docker_machine.start(
        stage("wait", BASE, WAIT),
        stage("test", image, "cat /content"),
        credentials=(shelf.credential(docker_machine),),
    )
    await eventually(lambda: shelf.has(image))

    await shelf.push(f"{shelf.registry.host}/acme/elsewhere:latest", "new")
    await _retag(shelf, "acme/elsewhere", "acme/shop")
    let_go(docker_machine)

    assert (await docker_machine.finished()).outcome is Outcome.SUCCEEDED
    assert await docker_machine.printed("test") == ["new"]


async def _retag(shelf: Shelf, source: str, target: str) -> None:
    """Let a name in the registry mean another image, without the engine knowing."""
    headers = {"Authorization": aiohttp.encode_basic_auth(shelf.registry.username, shelf.registry.password)}
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    base = f"http://{shelf.registry.host}/v2"
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(f"{base}/{source}/manifests/latest", headers={"Accept": kind}) as answer:
            manifest = await answer.json(content_type=None)
            text = await answer.read()
        for layer in [manifest["config"], *manifest["layers"]]:
            query = {"mount": layer["digest"], "from": source}
            async with session.post(f"{base}/{target}/blobs/uploads/", params=query) as answer:
                assert answer.status == 201
        address = f"{base}/{target}/manifests/latest"
        async with session.put(address, data=text, headers={"Content-Type": kind}) as answer:
            assert answer.status == 201


async def test_the_image_of_a_stage_that_is_not_due_is_not_pulled(docker_machine: Any, shelf: Shelf) -> None:
    due, not_due = await shelf.publish("acme/due:1", "due"), await shelf.publish("acme/not-due:1", "not due")
    await docker_machine.start(
        stage("wait", BASE, WAIT),
        stage("rescue", not_due, "cat /content", when="status == 'failed'"),
        stage("test", due, "cat /content"),
        credentials=(shelf.credential(docker_machine),),
    )
    await eventually(lambda: shelf.has(due))
    let_go(docker_machine)
    await docker_machine.finished()

    assert not await shelf.has(not_due)


async def test_few_images_are_pulled_ahead_at_once(shelf: Shelf, door: Door) -> None:
    for number in range(4):
        await shelf.publish(f"acme/number-{number}:1", uuid.uuid4().hex)
    sources = [ImageSource(f"{door.host}/acme/number-{number}:1", login(shelf)) for number in range(4)]
    pulled = Images(shelf.engine)
    pulled.pull_ahead(sources)
    await eventually(lambda: _true(len(door.layers) >= images.AT_ONCE))
    assert sorted(door.manifests) == ["acme/number-0", "acme/number-1"]

    door.open.set()
    await eventually(lambda: shelf.has(sources[3].reference))
    await pulled.close()


async def test_an_image_that_is_due_does_not_wait_for_those_ahead(shelf: Shelf, door: Door) -> None:
    names = [await shelf.publish(f"acme/number-{number}:1", uuid.uuid4().hex) for number in range(3)]
    ahead = [ImageSource(f"{door.host}/acme/number-{number}:1", login(shelf)) for number in range(2)]
    pulled = Images(shelf.engine)
    pulled.pull_ahead(ahead)
    await eventually(lambda: _true(len(door.manifests) == len(ahead)))

    assert (await pulled.get(ImageSource(names[2], login(shelf)), silent)).image.tag == "1"
    await pulled.close()


async def test_an_image_that_several_stages_wait_for_is_pulled_once(shelf: Shelf, door: Door) -> None:
    await shelf.publish("acme/shop:1", uuid.uuid4().hex)
    source = ImageSource(f"{door.host}/acme/shop:1", login(shelf))
    pulled = Images(shelf.engine)
    door.open.set()
    pulled.pull_ahead([source])
    found = await asyncio.gather(*(pulled.get(source, silent) for _ in range(3)))
    await pulled.close()

    assert len(door.layers) == len(set(door.layers))
    assert sorted(each.image.is_pulled for each in found) == [False, True, True]


async def test_who_stops_waiting_ends_the_pull(shelf: Shelf, door: Door, folder: Path) -> None:
    await shelf.publish("acme/shop:1", uuid.uuid4().hex)
    engine = await docker.connect()
    assert engine is not None
    runtime = docker.DockerRuntime(engine, job="build-1")
    run = StageRun(
        name="test",
        image=f"{door.host}/acme/shop:1",
        shell="/bin/sh",
        work_dir="/estafette-work",
        commands=(),
        run_commands_in_foreground=False,
        environment={},
        workspace=folder / "workspace",
        login=login(shelf),
    )
    preparing = asyncio.create_task(runtime.prepare(run))
    await eventually(lambda: _true(len(door.layers) > 0))
    preparing.cancel()
    await asyncio.wait([preparing], timeout=5)
    async with asyncio.timeout(5):
        await runtime.close()

    assert preparing.cancelled()
    assert not await shelf.has(run.image)


async def _true(value: bool) -> bool:
    return value


# --- in words --------------------------------------------------------------------------------------------------------


def downloading(layer: str, current: int, total: int) -> dict[str, Any]:
    return {"id": layer, "status": "Downloading", "progressDetail": {"current": current, "total": total}}


def test_a_long_pull_says_now_and_then_how_far_it_is() -> None:
    pulling = Pulling("golang:1.22", now=100.0)
    lines = [
        pulling.line({"status": "Pulling from library/golang", "id": "1.22"}, now=100.1),
        pulling.line({"status": "Pulling fs layer", "id": "a", "progressDetail": {}}, now=105.0),
        pulling.line(downloading("a", 10_000_000, 40_000_000), now=106.0),
        pulling.line(downloading("b", 5_000_000, 60_000_000), now=110.0),
        pulling.line(downloading("b", 6_000_000, 60_000_000), now=110.1),
        pulling.line({"id": "a", "status": "Download complete", "progressDetail": {}}, now=114.0),
        pulling.line(downloading("b", 60_000_000, 60_000_000), now=115.0),
    ]

    assert [line for line in lines if line] == [
        "pulling golang:1.22: waiting for the registry",
        "pulling golang:1.22: 15.0 of 100.0 MB",
        "pulling golang:1.22: 100.0 MB are there, extracting",
    ]
    assert pulling.last_line(now=121.5) == "pulled golang:1.22: 100.0 MB in 21.5 s"


def test_a_quick_pull_says_nothing() -> None:
    pulling = Pulling("golang:1.22", now=100.0)

    assert pulling.line(downloading("a", 10_000_000, 40_000_000), now=104.0) == ""
    assert pulling.last_line(now=104.9) == ""


async def test_a_pull_is_told_to_who_waits_for_it(shelf: Shelf) -> None:
    image = await shelf.publish("acme/shop:1", uuid.uuid4().hex)
    said: list[str] = []
    pulled = Images(shelf.engine, told_every=0.0)
    await pulled.get(ImageSource(image, login(shelf)), said.append)
    count = len(said)
    await pulled.get(ImageSource(image, login(shelf)), said.append)

    assert said[0].startswith(f"pulling {image}: ")
    assert said[-1].startswith(f"pulled {image}: ")
    assert len(said) == count


# --- references ------------------------------------------------------------------------------------------------------

SHA = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "name", "tag", "digest"),
    [
        ("busybox", "docker.io/library/busybox", "latest", ""),
        ("busybox:1.36", "docker.io/library/busybox", "1.36", ""),
        ("extensions/gke:stable", "docker.io/extensions/gke", "stable", ""),
        ("index.docker.io/acme/shop", "docker.io/acme/shop", "latest", ""),
        ("localhost/shop", "localhost/shop", "latest", ""),
        ("registry:5000/a/b", "registry:5000/a/b", "latest", ""),
        ("registry:5000/a/b:1", "registry:5000/a/b", "1", ""),
        (f"registry:5000/a/b@{SHA}", "registry:5000/a/b", "latest", SHA),
        (f"registry:5000/a/b:1@{SHA}", "registry:5000/a/b", "1", SHA),
        ("[::1]:5000/a", "[::1]:5000/a", "latest", ""),
    ],
)
def test_a_reference_is_read_whole(text: str, name: str, tag: str, digest: str) -> None:
    read = parse(text)

    assert (read.name, read.tag, read.digest) == (name, tag, digest)
    assert read.to_pull == (f"{name}@{digest}" if digest else f"{name}:{tag}")


@pytest.mark.parametrize(
    "text",
    ["", "Busybox", "a b", "../containers/json", "a//b", "a:", "a@", "a@sha256:12", "a?all=1", "a/b:c/d:e", "a" * 5000],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(NoReferenceError, match="is no name of an image"):
        parse(text)


@pytest.mark.parametrize(
    ("image", "place", "expected"),
    [
        ("acme/shop:1", "acme", True),
        ("acme/shop:1", "docker.io", True),
        ("acme/shop:1", "index.docker.io/acme", True),
        ("acmes/shop:1", "acme", False),
        ("gcr.io/acme/shop", "gcr.io/acme", True),
        ("gcr.io/acme/shop", "gcr.io/acme/", True),
        ("gcr.io/acme/team/shop", "gcr.io/acme", True),
        ("gcr.io/acmes/shop", "gcr.io/acme", False),
        ("gcr.io/acme/shop", "acme", False),
        ("registry:5000/shop", "registry:5000", True),
        ("registry:5001/shop", "registry:5000", False),
        ("evil.example/gcr.io/acme/shop", "gcr.io/acme", False),
        ("busybox", "acme", False),
    ],
)
def test_a_credential_is_for_what_is_below_its_repository(image: str, place: str, expected: bool) -> None:
    assert parse(image).is_below(place) is expected


async def test_the_engine_is_asked_for_no_image_that_cannot_be_one(engine: aiodocker.Docker) -> None:
    with pytest.raises(StageError, match="is no name of an image"):
        await Images(engine).get(ImageSource("../containers"), silent)

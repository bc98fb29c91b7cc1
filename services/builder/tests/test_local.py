"""`estafette run` in a checkout, as people use it."""

import asyncio
import base64
import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import aiodocker
import pytest
from builder.local import main
from builder.runtimes import docker
from builder.terminal import Ink, duration
from estafette_common.manifest import secrets

COMMAND = [sys.executable, "-P", "-m", "builder", "local"]

TWO_STAGES = """\
stages:
  build:
    image: busybox:latest
    commands:
    - cat notes
    - echo built > product
  tell:
    image: busybox:latest
    when: status == 'failed'
    commands:
    - echo "it is ${ESTAFETTE_BUILD_STATUS}"
"""


@pytest.fixture
def checkout(folder: Path) -> Path:
    """A checkout of a repository with something that nobody committed."""
    checkout = folder / "shop"
    subprocess.run(["git", "init", "-q", "-b", "main", str(checkout)], check=True)
    remote = "git@github.com:acme/shop.git"
    subprocess.run(["git", "-C", str(checkout), "remote", "add", "origin", remote], check=True)
    (checkout / "notes").write_text("not committed\n")
    return checkout


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ESTAFETTE_")}
    return inherited | variables


class Result(NamedTuple):
    """What a run ended with, and what it printed."""

    code: int
    output: str
    errors: str


Run = Callable[..., Result]


@pytest.fixture
def run(checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run what a manifest says to its end."""
    monkeypatch.chdir(checkout)
    monkeypatch.delenv("ESTAFETTE_SECRET_KEY", raising=False)

    def run(manifest: str, *arguments: str, **variables: str) -> Result:
        (checkout / ".estafette.yaml").write_text(manifest)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        try:
            code = main(["--runtime", "process", *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return Result(code, *capsys.readouterr())

    return run


def lines(result: Result) -> list[str]:
    """Return what was printed, without durations."""
    return [line.partition(" in ")[0] for line in result.output.splitlines()]


def printed(result: Result) -> list[str]:
    """Return the lines that stages printed, but the echoes of commands."""
    shown = [line.partition("│ ")[2] for line in result.output.splitlines() if "│ " in line]
    return [line for line in shown if not line.startswith("> ")]


def table(result: Result) -> list[list[str]]:
    """Return stage and status of each row of the table at the end."""
    rows = result.output.partition("\nstage ")[2].splitlines()[1:-2]
    return [row.split()[:2] for row in rows]


def test_stages_run_in_the_checkout_as_it_is(run: Run, checkout: Path) -> None:
    result = run(TWO_STAGES)

    assert (result.code, result.errors) == (0, "")
    assert "not committed" in printed(result)
    assert (checkout / "product").read_text() == "built\n"
    assert {"▶ build  busybox:latest", "✔ build succeeded", "· tell skipped"} <= set(lines(result))
    assert table(result) == [["build", "succeeded"], ["tell", "skipped"]]


def test_a_failure_is_told_as_in_a_build_and_by_the_exit_code(run: Run) -> None:
    result = run(TWO_STAGES.replace("cat notes", "sh -c 'exit 3'"))

    assert result.code == 1
    assert {"failed with exit code 3", "it is failed"} <= set(printed(result))
    assert table(result) == [["build", "failed"], ["tell", "succeeded"]]


def test_only_stages_that_are_named_run(run: Run) -> None:
    several = """\
stages:
  checks:
    parallelStages:
      lint: {image: busybox, commands: [echo linted]}
      test: {image: busybox, commands: [echo tested]}
  build: {image: busybox, commands: [echo built]}
"""
    result = run(several, "lint")

    assert printed(result)[2:] == ["linted"]
    assert table(result) == [["checks", "succeeded"], ["lint", "succeeded"]]


def test_a_stage_for_failures_can_be_tried(run: Run) -> None:
    result = run(TWO_STAGES, "tell", "--status", "failed")

    assert (result.code, printed(result)[2:]) == (0, ["it is failed"])


def test_a_release_knows_its_target_and_action(run: Run) -> None:
    manifest = (
        TWO_STAGES
        + """\
releases:
  production:
    actions: [{name: deploy}, {name: rollback}]
    stages:
      go:
        image: busybox:latest
        when: action == 'rollback'
        commands:
        - echo "${ESTAFETTE_RELEASE_NAME} ${ESTAFETTE_RELEASE_ACTION} ${ESTAFETTE_GIT_FULLNAME}"
"""
    )
    result = run(manifest, "--release", "production", "--action", "rollback")

    assert "production rollback acme/shop" in printed(result)
    assert "does not clone" in result.output
    assert "✔ release to production succeeded" in lines(result)


@pytest.mark.parametrize(
    ("manifest", "arguments", "why"),
    [
        ("lables: {}\n", [], ".estafette.yaml:1:1"),
        (TWO_STAGES, ["package"], "there is no stage 'package'; there is build, tell"),
        (TWO_STAGES, ["--release", "production"], "there is no release target 'production'; there is none"),
        (TWO_STAGES, ["--action", "rollback"], "write --release, too"),
        (TWO_STAGES, ["--env", "NOWHERE_SET"], "write NOWHERE_SET=VALUE"),
        (TWO_STAGES, ["--secret-key", "notes"], "notes: the secret key is not base64"),
        (TWO_STAGES, ["--runtime", "docker"], "no Docker Engine answers"),
        (TWO_STAGES, ["--nonsense"], "usage: estafette run"),
    ],
)
def test_what_cannot_be_run_ends_with_2_and_says_why(
    run: Run, checkout: Path, manifest: str, arguments: list[str], why: str
) -> None:
    result = run(manifest, *arguments, DOCKER_HOST=f"unix://{checkout}/none.sock")

    assert (result.code, why in result.errors) == (2, True), result.errors
    assert not (checkout / "product").exists()


def test_a_dry_run_tells_which_stages_would_run_and_why(run: Run, checkout: Path) -> None:
    broken = TWO_STAGES + "  odd: {image: busybox, when: 1 + 1}\n"

    result = run(broken, "--when-dry-run", "--branch", "feature")

    assert result.code == 1
    assert not (checkout / "product").exists()
    rows = [line.split(maxsplit=2) for line in result.output.splitlines()[-3:]]
    assert [row[:2] for row in rows] == [["build", "runs"], ["tell", "skipped"], ["odd", "fails"]]
    assert "status is 'succeeded'" in rows[1][2]


def test_a_dry_run_can_tell_what_would_run_after_a_failure(run: Run) -> None:
    result = run(TWO_STAGES, "--when-dry-run", "--status", "failed")

    assert result.code == 0
    assert [line.split()[:2] for line in result.output.splitlines()[-2:]] == [["build", "skipped"], ["tell", "runs"]]


KEY = bytes(range(32))
SEALED = f"""\
stages:
  publish:
    image: busybox:latest
    env: {{TOKEN: "{secrets.encrypt("hunter2", key=KEY, allow_list="github.com/acme/.*")}"}}
    commands:
    - echo "it is $TOKEN, of ${{#TOKEN}} characters"
"""


def test_a_secret_that_stays_closed_is_named(run: Run) -> None:
    result = run(SEALED)

    assert "publish: TOKEN stays closed, no key was given" in result.output
    assert "it is closed-secret, of 13 characters" in printed(result)


def test_a_secret_is_opened_with_the_servers_key_and_hidden(run: Run) -> None:
    result = run(SEALED, ESTAFETTE_SECRET_KEY=base64.b64encode(KEY).decode())

    assert "stays closed" not in result.output
    assert "it is ***, of 7 characters" in printed(result)


def test_a_secret_can_be_given_by_hand_and_is_hidden(run: Run) -> None:
    result = run(SEALED, "--env", "TOKEN", TOKEN="by-hand")

    assert "stays closed" not in result.output
    assert "it is ***, of 7 characters" in printed(result)


@contextmanager
def running(
    checkout: Path, command: str, runtime: str = "process"
) -> Iterator[tuple["subprocess.Popen[str]", IO[str]]]:
    """Start a stage that runs until it is ended, and has printed `began`."""
    manifest = (
        f"stages:\n  wait:\n    image: busybox\n    commands:\n    - |\n      {command}\n  after:\n    image: busybox\n"
    )
    (checkout / ".estafette.yaml").write_text(manifest + "    commands: [touch product]\n")
    process = subprocess.Popen(
        [*COMMAND, "--runtime", runtime],
        cwd=checkout,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith("began\n") and "> " not in line:
            break
    try:
        yield process, process.stdout
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()


def test_ctrl_c_asks_the_stage_to_end_and_cancels_the_others(checkout: Path) -> None:
    with running(checkout, "trap 'touch asked; exit 0' TERM; echo began; while :; do sleep 0.1; done") as (
        process,
        output,
    ):
        process.send_signal(signal.SIGINT)
        rest = output.read()

        assert process.wait() == 130
    assert (checkout / "asked").exists()
    assert "■ after canceled" in rest
    assert not (checkout / "product").exists()


def test_a_second_ctrl_c_waits_for_nobody(checkout: Path) -> None:
    with running(checkout, "trap '' TERM; echo began; while :; do sleep 0.1; done") as (process, output):
        process.send_signal(signal.SIGINT)
        assert any("wait canceled" in line for line in output)
        process.send_signal(signal.SIGINT)

        assert process.wait(timeout=5) == 130


def test_a_reader_that_goes_away_ends_the_job_quietly(checkout: Path) -> None:
    with running(checkout, "echo began; while :; do echo more; sleep 0.1; done") as (process, output):
        output.close()

        assert process.wait(timeout=15) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_shows_colours_unless_asked_not_to(
    checkout: Path, variables: dict[str, str], coloured: bool
) -> None:
    (checkout / ".estafette.yaml").write_text(TWO_STAGES)
    controller, terminal = pty.openpty()
    command = [*COMMAND, "--when-dry-run"]
    done = subprocess.run(command, cwd=checkout, env=environment(**variables), stdout=terminal, check=False)
    os.close(terminal)
    with io.FileIO(controller) as shown:
        text = shown.read(65536).decode()

    assert done.returncode == 0
    assert ("\x1b[32mruns" in text) is coloured


def test_a_stage_keeps_its_colours_but_cannot_move_the_cursor() -> None:
    text = "\x1b[1mbold\x1b[2J\x1b[3A\x1b]0;title\x07 \x1b[0mplain"

    assert Ink(colour=True).foreign(text) == "\x1b[1mbold \x1b[0mplain\x1b[0m"
    assert Ink(colour=False).foreign(text) == "bold plain"


def test_durations_read_well() -> None:
    assert [duration(seconds) for seconds in (0.04, 59.9, 125)] == ["0.0 s", "59.9 s", "2 min 05 s"]


async def containers_of(engine: aiodocker.Docker, checkout: Path) -> list[str]:
    """Return the containers that have the checkout."""
    labelled = await engine.containers.list(all=True, filters={"label": [docker.JOB_LABEL]})
    return [each.id for each in labelled if str(checkout) in [mount["Source"] for mount in each["Mounts"]]]


SERVED = """\
stages:
  test:
    image: busybox:latest
    services:
    - name: page
      image: busybox:latest
      commands: [httpd -f -p 8000 -h /bin]
      readiness: {exec: {command: [wget, -q, -O, /dev/null, "http://127.0.0.1:8000/sh"]}}
    commands:
    - wget -q -O - http://page:8000/none 2>&1 | grep 404
    - cat notes > product
"""


async def test_containers_work_in_the_checkout_and_none_stays(engine: aiodocker.Docker, checkout: Path) -> None:
    (checkout / ".estafette.yaml").write_text(SERVED)
    command = [*COMMAND, "--runtime", "docker"]
    done = await asyncio.to_thread(subprocess.run, command, cwd=checkout, capture_output=True, text=True, check=False)
    result = Result(done.returncode, done.stdout, done.stderr)

    assert (result.code, result.errors) == (0, ""), result.output
    assert (checkout / "product").read_text() == "not committed\n"
    assert table(result) == [["test", "succeeded"], ["page", "(service)"]]
    assert await containers_of(engine, checkout) == []


async def test_ctrl_c_leaves_no_container(engine: aiodocker.Docker, checkout: Path) -> None:
    with running(checkout, "trap 'exit 0' TERM; echo began; while :; do sleep 0.1; done", "docker") as (process, _):
        assert len(await containers_of(engine, checkout)) == 1
        process.send_signal(signal.SIGINT)

        assert await asyncio.to_thread(process.wait) == 130
    assert await containers_of(engine, checkout) == []

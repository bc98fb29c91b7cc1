"""`estafette secret` as people run it."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from estafette_common.jobs.origin import Origin, origin
from estafette_common.manifest import secrets

OLD, NEW = bytes(32), bytes(range(32))


def run(*arguments: str, text: str = "", where: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", "secret", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=where)


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    file = tmp_path / "key"
    file.write_text(",".join(base64.b64encode(key).decode() for key in (NEW, OLD)) + "\n")
    return str(file)


def test_a_value_is_sealed_with_the_newest_key(key_file: str) -> None:
    envelope = run("encrypt", "--key-file", key_file, text="hunter2\n").stdout.strip()

    assert secrets.decrypt(envelope, key=NEW, pipeline="any") == "hunter2"


def test_a_value_is_sealed_for_the_pipeline_of_a_checkout(key_file: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "origin", "git@github.com:acme/shop.git"], check=True)

    envelope = run("encrypt", "--here", "--key-file", key_file, text="x", where=tmp_path).stdout.strip()

    assert secrets.allow_list(envelope, key=NEW) == r"github\.com/acme/shop"
    assert secrets.decrypt(envelope, key=NEW, pipeline="github.com/acme/shop") == "x"


def test_outside_of_a_checkout_it_is_asked_for_the_pipelines(key_file: str, tmp_path: Path) -> None:
    result = run("encrypt", "--here", "--key-file", key_file, text="x", where=tmp_path)

    assert (result.returncode, result.stdout, "--pipelines" in result.stderr) == (1, "", True)


def test_a_file_is_sealed_again_with_the_newest_key(key_file: str, tmp_path: Path) -> None:
    file = tmp_path / "manifest.yaml"
    file.write_text(f"env:\n  # why\n  A: {secrets.encrypt('x', key=OLD)}\n")

    assert run("rotate", str(file), "--key-file", key_file).returncode == 0

    assert secrets.decrypt_all(file.read_text(), key=NEW, pipeline="any") == "env:\n  # why\n  A: x\n"


def test_a_file_with_a_secret_of_another_server_stays_as_it_is(key_file: str, tmp_path: Path) -> None:
    file = tmp_path / "manifest.yaml"
    text = f"A: {secrets.encrypt('x', key=bytes(reversed(range(32))))}\n"
    file.write_text(text)

    result = run("rotate", str(file), "--key-file", key_file)

    assert (result.returncode, file.read_text()) == (1, text)
    assert str(file) in result.stderr


def test_a_key_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("not base64!")

    assert "not base64" in run("encrypt", "--key-file", str(tmp_path / "key"), text="x").stderr


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("git@github.com:acme/shop.git", ("github.com", "acme", "shop")),
        ("https://github.com/acme/shop.git", ("github.com", "acme", "shop")),
        ("https://token@github.com/acme/shop", ("github.com", "acme", "shop")),
        ("file:///srv/shop.git", ("", "", "")),
        ("", ("", "", "")),
    ],
)
def test_a_pipeline_is_named_by_its_remote(url: str, expected: tuple[str, str, str]) -> None:
    assert origin(url) == Origin(*expected)

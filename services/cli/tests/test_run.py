"""`estafette run` hands over to the builder."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

MANIFEST = "stages:\n  test:\n    image: busybox:latest\n    commands: [exit 3]\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / ".estafette.yaml").write_text(MANIFEST)
    return checkout


def run(checkout: Path, *arguments: str, python: tuple[str, ...] = ("-P", "-m", "cli")) -> tuple[int, str, str]:
    command = [sys.executable, *python, "run", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=checkout)
    return done.returncode, done.stdout, done.stderr


def test_the_builder_runs_the_stages_and_gives_the_exit_code(checkout: Path) -> None:
    code, output, errors = run(checkout, "test", "--runtime", "process")

    assert (code, errors) == (1, "")
    assert "failed with exit code 3" in output


def test_a_folder_that_is_called_builder_is_not_taken_for_it(checkout: Path) -> None:
    (checkout / "builder").mkdir()
    (checkout / "builder/__init__.py").write_text("raise SystemExit('this is not the builder')\n")

    assert run(checkout, "--when-dry-run")[0] == 0


def test_help_is_of_the_command_that_people_write(checkout: Path) -> None:
    code, output, _ = run(checkout, "--help")

    assert (code, output.startswith("usage: estafette run")) == (0, True)


def test_without_the_builder_it_says_what_to_install(checkout: Path, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not each.name.startswith("estafette_builder"):
            (packages / each.name).symlink_to(each)
    start = f"import site; site.addsitedir({str(packages)!r}); from cli.__main__ import main; main()"

    code, output, errors = run(checkout, python=("-S", "-c", start))

    assert (code, output) == (2, "")
    assert "install estafette-builder" in errors

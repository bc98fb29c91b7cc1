"""How the commands of a stage become a program; run by a real shell."""

import asyncio
import signal
import subprocess
from pathlib import Path

import pytest
from builder.entrypoint import Mode, modes, script
from estafette_local.waiting import eventually

SHELLS = [shell for shell in ("/bin/sh", "/bin/bash") if Path(shell).exists()]


def run(shell: str, *commands: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "entrypoint.sh"
    file.write_text(script(shell, commands))
    return subprocess.run([shell, str(file)], capture_output=True, text=True, check=False, timeout=20, cwd=folder)


@pytest.mark.parametrize(
    ("command", "mode"),
    [
        ("make test", Mode.EXEC),
        ("./run.sh --all > log", Mode.EXEC),
        ("first\nsecond", Mode.PLAIN),
        ("cd folder", Mode.PLAIN),
        ("A=1 make", Mode.PLAIN),
        ("make | tee log", Mode.PLAIN),
        ("make &", Mode.PLAIN),
        ("make && make install", Mode.PLAIN),
        ("set -x", Mode.PLAIN),
        (". ./functions", Mode.PLAIN),
        ("if true", Mode.PLAIN),
        ("exit 3", Mode.PLAIN),
        ('"a program"', Mode.PLAIN),
        ("$PROGRAM", Mode.PLAIN),
        ("", Mode.PLAIN),
        ("# nothing", Mode.PLAIN),
        ("make # all", Mode.PLAIN),
        ("make \\", Mode.PLAIN),
    ],
)
def test_only_a_program_alone_takes_the_place_of_the_shell(command: str, mode: Mode) -> None:
    assert modes((command,), foreground=False) == (mode,)
    assert modes((command,), foreground=True) == (Mode.PLAIN,)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("commands", "said", "code"),
    [
        (["echo one", "echo two"], ["one", "two"], 0),
        (["echo one\necho two"], ["one", "two"], 0),
        (["A=1", "echo a$A"], ["a1"], 0),
        (["false", "echo never"], [], 1),
        (["sh -c 'exit 7'", "echo never"], [], 7),
        (['echo "it\'s"'], ["it's"], 0),
        (["for i in 1 2; do echo $i; done"], ["1", "2"], 0),
        (["if true; then\n  echo yes\nfi"], ["yes"], 0),
        (["cat <<END\na\nb\nEND"], ["a", "b"], 0),
        (["exit 5"], [], 5),
        ([r"printf 'a\nb\n'"], ["a", "b"], 0),
    ],
)
def test_every_command_runs_whole_until_one_fails(
    tmp_path: Path, shell: str, commands: list[str], said: list[str], code: int
) -> None:
    result = run(shell, *commands, folder=tmp_path)

    output = result.stdout
    for command in commands:
        output = output.replace(f"\x1b[2m> {command}\x1b[0m\n", "")
    assert (output.splitlines(), result.returncode) == (said, code)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("after", [(), ("echo never",)])
def test_a_signal_reaches_the_command_that_runs(tmp_path: Path, shell: str, after: tuple[str, ...]) -> None:
    program = tmp_path / "program"
    program.write_text(
        "#!/bin/sh\ntrap 'echo heard > heard; exit 0' TERM\ntouch started\nwhile :; do sleep 0.02; done\n"
    )
    program.chmod(0o755)
    file = tmp_path / "entrypoint.sh"
    file.write_text(script(shell, ("./program", *after)))
    process = subprocess.Popen([shell, str(file)], cwd=tmp_path, stdout=subprocess.DEVNULL)
    asyncio.run(eventually((tmp_path / "started").exists))
    asyncio.run(eventually(lambda: _takes(process.pid, signal.SIGTERM)))

    process.send_signal(signal.SIGTERM)

    asyncio.run(eventually((tmp_path / "heard").exists))
    process.wait(timeout=10)


def _takes(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for the signal."""
    [mask] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:")]
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)


def test_each_command_is_shown_before_it_runs(tmp_path: Path) -> None:
    assert run("/bin/sh", "echo it\\'s", folder=tmp_path).stdout.splitlines() == ["\x1b[2m> echo it\\'s\x1b[0m", "it's"]

"""The program of a stage: its commands as one shell script. Pure.

As in the reference, a plain command runs in the background under a trap, or replaces the shell when it is the last one,
so that signals reach it; what changes the shell or is more than one command runs as it stands.
"""

import re
from enum import StrEnum


class Mode(StrEnum):
    """How a command is run."""

    PLAIN = "plain"
    BACKGROUND = "background"
    EXEC = "exec"


CHANGES_THE_SHELL = re.compile(r"\w=|export|shopt|;|cd |\||&|\n|#|\\$")
"""What the reference looks for, anywhere in a command; and several lines, comments, and a line that goes on."""

WORD = re.compile(r"\s*([^\s<>()'\"`$]+)(?:\s|$)")
"""The program of a command, where it stands there in plain letters."""

OF_THE_SHELL = frozenset(
    ["!", "[", "[[", "{", "}", "(", ".", ":", "alias", "bg", "break", "builtin", "case", "command", "continue",
     "declare", "dirs", "do", "done", "elif", "else", "esac", "eval", "exec", "exit", "fc", "fg", "fi", "for",
     "function", "getopts", "hash", "if", "in", "jobs", "let", "local", "popd", "pushd", "read", "readonly",
     "return", "select", "set", "shift", "source", "test", "then", "time", "times", "trap", "type", "typeset",
     "ulimit", "umask", "unalias", "unset", "until", "wait", "while"]
)  # fmt: skip
"""Words that mean something to the shell itself: a program of its own could not do the same."""


def modes(commands: tuple[str, ...], *, foreground: bool) -> tuple[Mode, ...]:
    """Return how each command is run; `foreground` runs all as they stand."""
    foreground = foreground or any("trap" in command for command in commands)  # ours would replace theirs
    return tuple(
        Mode.PLAIN
        if foreground or not _is_program(command)
        else Mode.EXEC
        if place == len(commands)
        else Mode.BACKGROUND
        for place, command in enumerate(commands, start=1)
    )


def script(shell: str, commands: tuple[str, ...], *, foreground: bool = False) -> str:
    """Return the script: it stops at the first failure, and echoes each command dimly before it runs."""
    lines = [f"#!{shell}", "set -e"]
    for command, mode in zip(commands, modes(commands, foreground=foreground), strict=True):
        lines.append(f"printf '\\033[2m> %s\\033[0m\\n' {_quoted(command)}")
        match mode:
            case Mode.PLAIN:
                lines.append(command)
            case Mode.EXEC:
                lines.append(f"exec {command}")
            case Mode.BACKGROUND:
                lines += [f"{command} &", 'trap "kill $! 2>/dev/null" 1 2 15', "wait $!", "trap - 1 2 15"]
    return "\n".join(lines) + "\n"


def _is_program(command: str) -> bool:
    found = WORD.match(command)
    return found is not None and found[1] not in OF_THE_SHELL and not CHANGES_THE_SHELL.search(command)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"

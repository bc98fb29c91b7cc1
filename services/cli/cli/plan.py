"""`estafette plan`: what an event would lead to if a manifest were in force. The planner tells it, and knows how."""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

import typer

PLANNER = "estafette-manifest-planner"

UNUSABLE = 2
"""Exit code when there is nothing to look at, as of the planner."""


def plan(context: typer.Context) -> NoReturn:
    """Tell what an event would lead to with a changed manifest; starts nothing. `plan --help` has the options."""
    try:
        version(PLANNER)
    except PackageNotFoundError:
        print(f"this is told by the planner, which is not installed; install {PLANNER} beside this", file=sys.stderr)
        raise typer.Exit(UNUSABLE) from None
    sys.stdout.flush()
    # -P: a folder named manifest_planner in the checkout is not the planner.
    command = [sys.executable, "-P", "-m", "manifest_planner", "what-if", *context.args]
    os.execv(command[0], command)  # noqa: S606  it takes our place

"""`estafette run`: what a build would do, in this folder. The builder does it, and knows the options."""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

import typer

BUILDER = "estafette-builder"

UNUSABLE = 2
"""Exit code when nothing can be run, as of the builder."""

OPTIONS_OF_ANOTHER = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def run(context: typer.Context) -> NoReturn:
    """Run stages of the manifest in this folder, without a server; `run --help` has the options."""
    try:
        version(BUILDER)
    except PackageNotFoundError:
        print(f"stages are run by the builder, which is not installed; install {BUILDER} beside this", file=sys.stderr)
        raise typer.Exit(UNUSABLE) from None
    sys.stdout.flush()
    # -P: a folder named builder in the checkout is not the builder.
    command = [sys.executable, "-P", "-m", "builder", "local", *context.args]
    os.execv(command[0], command)  # noqa: S606  it takes our place

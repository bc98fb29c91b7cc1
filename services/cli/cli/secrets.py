"""`estafette secret`: values sealed for manifests, and sealed again when keys change. Needs the server's key."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from estafette_common.jobs.origin import Origin, origin
from estafette_common.manifest import secrets

app = typer.Typer(no_args_is_help=True, help="Seal secrets for manifests.")

KeyFile = Annotated[
    Path,
    typer.Option(
        envvar="ESTAFETTE_SECRET_KEY_FILE",
        help="The server's key in base64; several, separated by commas, while keys are changed: the newest first.",
    ),
]


@app.command()
def encrypt(
    key_file: KeyFile,
    pipelines: Annotated[
        str, typer.Option(help="Who may open it: a regular expression for the whole of source/owner/name.")
    ] = secrets.EVERYBODY,
    here: Annotated[bool, typer.Option("--here", help="Only the pipeline of this checkout may open it.")] = False,
) -> None:
    """Print the value on standard input as an estafette.secret(…)."""
    value = sys.stdin.read().removesuffix("\n")
    try:
        print(secrets.encrypt(value, key=_keys(key_file), allow_list=_this_pipeline() if here else pipelines))
    except secrets.SecretError as error:
        _give_up(str(error))


@app.command()
def rotate(files: Annotated[list[Path], typer.Argument(metavar="FILE…")], key_file: KeyFile) -> None:
    """Seal every secret in files with the newest key, as restricted as it was."""
    keys = _keys(key_file)
    for file in files:
        try:
            text = file.read_text()
            file.write_text(secrets.rotate(text, key=keys))
        except (OSError, UnicodeDecodeError, secrets.SecretError) as error:
            _give_up(f"{file}: {error}")


def _keys(file: Path) -> tuple[bytes, ...]:
    try:
        return secrets.parse_keys(file.read_text())
    except (OSError, UnicodeDecodeError, secrets.SecretError) as error:
        _give_up(f"{file}: {error}")


def _this_pipeline() -> str:
    asked = subprocess.run(["git", "remote", "get-url", "origin"], capture_output=True, text=True, check=False)
    found = origin(asked.stdout)
    if found == Origin():
        _give_up("this folder is no checkout of a pipeline; write --pipelines")
    return "/".join(part.replace(".", "\\.") for part in found)


def _give_up(reason: str) -> NoReturn:
    print(reason, file=sys.stderr)
    raise typer.Exit(1)

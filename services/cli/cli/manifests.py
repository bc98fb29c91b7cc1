"""`estafette manifest`: everything there is to do with a file, without a server."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from estafette_common.manifest import versions, writing
from estafette_common.manifest.findings import FILE, Findings, ManifestError, Severity
from estafette_common.manifest.reading import as_written, check
from estafette_common.manifest.schema import schema as json_schema

from cli import comparing, reporting
from cli.reporting import Report

VALID, INVALID, UNREADABLE = 0, 1, 2
"""Exit codes: no errors, errors in a manifest, or a file that is none or not there."""

app = typer.Typer(no_args_is_help=True, help="Check, show and migrate .estafette.yaml files.")

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Manifests; - for standard input.")]
OneFile = Annotated[Path, typer.Argument(metavar="FILE", help="A manifest; - for standard input.")]


@app.command()
def validate(
    files: Files = [Path(FILE)],  # noqa: B006  typer copies it
    format: Annotated[Literal["text", "json", "sarif"], typer.Option(help="For people, or for machines.")] = "text",
) -> None:
    """Tell everything that is wrong, or may be. Ends with 1 when there are errors, 2 when a file cannot be read."""
    texts = {file: _readable(file) for file in files}
    reports = [Report(file, text, check(text)) for file, text in texts.items() if text is not None]
    match format:
        case "json":
            print(json.dumps([reporting.as_json(report) for report in reports], indent=2))
        case "sarif":
            print(json.dumps(reporting.as_sarif(reports), indent=2))
        case _:
            reporting.print_text(reports)
    codes = [_exit_code(report) for report in reports]
    raise typer.Exit(UNREADABLE if None in texts.values() else max(codes))


@app.command()
def show(
    files: Files = [Path(FILE)],  # noqa: B006  typer copies it
    format: Annotated[
        Literal["yaml", "json", "jsonl"], typer.Option(help="jsonl: one line for each file, to compare many.")
    ] = "yaml",
) -> None:
    """Show a manifest as it is understood, with every default."""
    if format == "jsonl":
        for file in files:
            print(comparing.line(file.name, _data(file)))
        return
    for file in files:
        checked = check(_text(file))
        if checked.manifest is None:
            _give_up(Report(file, _text(file), checked))
        elif format == "json":
            print(json.dumps(writing.tree(checked.manifest), indent=2, ensure_ascii=False))
        else:
            print(writing.to_yaml(checked.manifest), end="")


@app.command()
def schema() -> None:
    """Print a JSON Schema of the format, for editors."""
    print(json.dumps(json_schema(), indent=2))


@app.command()
def version(
    file: OneFile = Path(FILE),
    counter: Annotated[int, typer.Option(help="The number of the build.")] = 1,
    branch: Annotated[str, typer.Option(help="The branch that is built.")] = "main",
    revision: Annotated[str, typer.Option(help="The revision that is built.")] = "0" * 40,
) -> None:
    """Print the version that a build would have."""
    text = _text(file)
    checked = check(text)
    if checked.manifest is None:
        _give_up(Report(file, text, checked))
    else:
        print(versions.compute(checked.manifest.version, counter=counter, branch=branch, revision=revision).version)


@app.command()
def migrate(file: OneFile = Path(FILE)) -> None:
    """Print a manifest in today's words: old names and the draft format of 2017 replaced. Comments are lost."""
    text = _text(file)
    checked = check(text)
    try:
        written = as_written(text, Findings())
    except ManifestError:
        written = None
    if checked.manifest is None or written is None:
        _give_up(Report(file, text, checked))
    else:
        print(writing.to_yaml(written), end="")


def _data(file: Path) -> bytes:
    """Return what a file holds; ends the command when it cannot be read."""
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        print(f"{file}: {error.strerror or error}", file=sys.stderr)
        raise typer.Exit(UNREADABLE) from None


def _text(file: Path) -> str:
    """Return the text of a file; ends the command when it is none."""
    try:
        return _data(file).decode()
    except UnicodeDecodeError as error:
        print(f"{file}: not UTF-8 (byte {error.start})", file=sys.stderr)
        raise typer.Exit(UNREADABLE) from None


def _readable(file: Path) -> str | None:
    """Return the text of a file; nothing when there is none, which is told."""
    try:
        return _text(file)
    except typer.Exit:
        return None


def _give_up(report: Report) -> None:
    reporting.print_text([report], to=sys.stderr)
    raise typer.Exit(INVALID)


def _exit_code(report: Report) -> int:
    return INVALID if any(found.severity is Severity.ERROR for found in report.checked.findings) else VALID

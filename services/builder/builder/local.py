"""`estafette run`: a job of the manifest in this folder, run as a server would have it run, but without one."""

import argparse
import asyncio
import io
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from estafette_common.jobs.lifecycle import Outcome
from estafette_common.jobs.plan import Plan
from estafette_common.manifest import secrets
from estafette_common.manifest.findings import FILE
from estafette_common.manifest.model import Manifest
from estafette_common.manifest.reading import check

from builder import checkout, localplan
from builder.checkout import Checkout
from builder.localjob import LocalJob, NoEngineError
from builder.localplan import Choice, ChoiceError, Verdict
from builder.masking import Masker
from builder.opening import PLACEHOLDER, Opener, is_sealed
from builder.running import Ended
from builder.settings import LocalSettings, inherited
from builder.terminal import Ink, Terminal, duration, table

SUCCEEDED, FAILED, UNUSABLE, CANCELED = 0, 1, 2, 130
"""Exit codes; the last one as shells have it after Ctrl-C."""

NO_ENGINE = "no Docker Engine answers; write --runtime process to run stages as processes of this machine"

ENDS = {Outcome.SUCCEEDED: ("✔", "green", SUCCEEDED), Outcome.CANCELED: ("■", "yellow", CANCELED)}
"""Sign, style and exit code by outcome."""

OTHERWISE = ("✘", "red", FAILED)

VERDICTS = {Verdict.RUNS: "green", Verdict.SKIPPED: "dim", Verdict.FAILS: "red"}


class UnusableError(Exception):
    """Nothing can be run; the message is for the person at the terminal."""


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments of `estafette run` say, and return its exit code."""
    asked = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    terminal = Terminal(sys.stdout, Ink(colour=sys.stdout.isatty() and not inherited().get("NO_COLOR")))
    try:
        return _run(asked, terminal)
    except UnusableError as error:
        sys.stderr.write(f"{error}\n")
        return UNUSABLE
    except KeyboardInterrupt:
        return CANCELED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
        return CANCELED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="estafette run",
        description=f"Run the stages of {FILE} in this folder as a build would, without a server.",
        epilog="Ends with 0 when everything succeeded, 1 when something failed, 2 when there is nothing that can be "
        "run, 130 after Ctrl-C.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("stages", nargs="*", metavar="STAGE", help="only these, in the order of the manifest")
    add("--release", default="", metavar="TARGET", help="a release to this target instead of a build")
    add("--action", default="", help="of the release")
    add("--when-dry-run", action="store_true", help="tell which stages would run, and why; start nothing")
    add("--status", choices=["succeeded", "failed"], default="succeeded", help="how it went before the first stage")
    add("--branch", default="", help="what stages see as the branch instead of that of the checkout")
    add("--env", action="append", default=[], metavar="NAME[=VALUE]", help="a variable of all stages, whatever the "
        "manifest says of it; without a value, that of this shell")  # fmt: skip
    add("--secret-key", type=Path, metavar="FILE", help="the server's key in base64, which opens secrets; or the key "
        "itself in ESTAFETTE_SECRET_KEY")  # fmt: skip
    add("--runtime", choices=["docker", "process", "auto"], default="auto", help="run stages in containers, as "
        "processes of this machine, or in containers where an engine answers")  # fmt: skip
    return parser


def _run(asked: argparse.Namespace, terminal: Terminal) -> int:
    here = _checkout(asked.branch)
    manifest = _manifest(here, terminal)
    try:
        choice = Choice(stages=tuple(asked.stages), release=asked.release, action=asked.action)
        plan = localplan.plan_of(manifest, here, choice, job_id=str(time.time_ns()))
    except ChoiceError as error:
        raise UnusableError(str(error)) from error
    if asked.when_dry_run:
        return _tell_expected(plan, asked.status, terminal)
    job = _job(plan, here, asked, terminal)
    if any(each.name == plan.target and not each.clone for each in manifest.releases):
        _note(terminal, "the release does not clone: on a server it begins in an empty folder, here in the checkout")
    began = time.monotonic()
    try:
        ended = asyncio.run(job.run(asked.runtime))
    except NoEngineError as error:
        raise UnusableError(NO_ENGINE) from error
    return _tell_end(plan, ended, time.monotonic() - began, terminal)


def _checkout(branch: str) -> Checkout:
    try:
        here = checkout.find(Path.cwd())
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableError(f"{FILE}: {error}") from error
    if here is None:
        raise UnusableError(f"there is no {FILE} in this folder, nor above it")
    return replace(here, branch=branch) if branch else here


def _manifest(here: Checkout, terminal: Terminal) -> Manifest:
    """Return the manifest. What is wrong ends the command; what may be is only counted, for it runs."""
    checked = check(here.manifest)
    if checked.manifest is None:
        raise UnusableError("\n".join(str(found) for found in checked.errors))
    if count := len(checked.findings):
        told = "1 warning" if count == 1 else f"{count} warnings"
        _note(terminal, f"{told} about {FILE}; `estafette manifest validate` tells", "yellow")
    return checked.manifest


def _job(plan: Plan, here: Checkout, asked: argparse.Namespace, terminal: Terminal) -> LocalJob:
    """Return the job with the variables and the keys that it is given, and tell which secrets stay closed."""
    env = _env(asked.env)
    sealed = {each.variable for each in localplan.texts(plan) if is_sealed(each.text)}
    plan = localplan.with_env(plan, env)
    opener = Opener(_keys(asked.secret_key), plan.repository.pipeline)
    texts = list(localplan.texts(plan))
    _note(terminal, f"{plan.repository.pipeline}, branch {plan.branch}, version {plan.version.version}")
    for text, reason in opener.closed(texts):
        instead = f"; --env {text.variable}=… gives another" if text.variable else ""
        _note(terminal, f"{text.where} stays closed, {reason}: its value is {PLACEHOLDER}{instead}", "yellow")
    return LocalJob(
        plan=plan,
        folder=here.folder,
        status=asked.status,
        open_secrets=opener,
        masker=Masker(opener.values(texts) | {value for name, value in env.items() if name in sealed}),
        terminal=terminal,
    )


def _env(given: Sequence[str]) -> Mapping[str, str]:
    env: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name:
            raise UnusableError("--env: write NAME=VALUE")
        if not equals:
            if (own := inherited().get(name)) is None:
                raise UnusableError(f"--env {name}: this shell has no such variable; write {name}=VALUE")
            value = own
        env[name] = value
    return env


def _keys(file: Path | None) -> tuple[bytes, ...]:
    where = str(file) if file is not None else "ESTAFETTE_SECRET_KEY"
    try:
        text = file.read_text() if file is not None else LocalSettings().secret_key.get_secret_value()
        return secrets.parse_keys(text) if text else ()
    except (OSError, UnicodeDecodeError, secrets.SecretError) as error:
        raise UnusableError(f"{where}: {error}") from error


def _tell_expected(plan: Plan, status: str, terminal: Terminal) -> int:
    """Tell what would become of every stage; a condition that is broken fails, as it would."""
    found = list(localplan.expected(plan, status=status, now=datetime.now(UTC)))
    rows = [("  " * each.depth + each.name, each.verdict, each.condition, each.because) for each in found]
    styles = [VERDICTS[each.verdict] for each in found]
    terminal.say(*table(terminal.ink, ("stage", "would be", "when", "because"), rows, styles))
    return FAILED if any(each.verdict is Verdict.FAILS for each in found) else SUCCEEDED


def _tell_end(plan: Plan, ended: Ended, seconds: float, terminal: Terminal) -> int:
    sign, style, code = ENDS.get(ended.outcome, OTHERWISE)
    what = f"release to {plan.target}" if plan.target else "build"
    reason = f": {ended.reason}" if ended.reason else ""
    last = f"{sign} {what} {ended.outcome.replace('_', ' ')} in {duration(seconds)}{reason}"
    terminal.say(*terminal.summary(), "", terminal.ink(last, style))
    return code


def _note(terminal: Terminal, text: str, style: str = "dim") -> None:
    terminal.say(terminal.ink(f"» {text}", style))

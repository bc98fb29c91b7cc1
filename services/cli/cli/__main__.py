"""`estafette`, or `python -m cli`."""

import typer

from cli import builds, dead, manifests, plan, releases, run, secrets, why

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(manifests.app, name="manifest")
app.add_typer(secrets.app, name="secret")
app.add_typer(dead.app, name="dead")
app.command(context_settings=run.OPTIONS_OF_ANOTHER)(run.run)
app.command(context_settings=run.OPTIONS_OF_ANOTHER)(plan.plan)
for command in (builds.trigger, builds.rebuild, builds.cancel, builds.status, builds.logs, why.why):
    app.command()(command)
app.command()(releases.release)
app.command()(releases.bot)


@app.callback()
def estafette() -> None:
    """Estafette, resilient and scalable CI."""


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()

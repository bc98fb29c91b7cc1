"""`estafette dead list`, `show`, `replay`, `drop`: messages that could not be handled."""

from typing import Annotated

import typer

from cli import mourning
from cli.asking import NATS_URL, Credentials, NatsUrl, give_up, run
from cli.letters import Letter, Letters, letters
from cli.server import Bus

app = typer.Typer(no_args_is_help=True, help="Looks at messages that could not be handled, and decides on them.")

Numbers = Annotated[list[int] | None, typer.Argument(metavar="[NUMBER]…", help="As `estafette dead list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="All of them, or all of the consumer.")]
OfConsumer = Annotated[str, typer.Option("--consumer", help="Only those that this consumer gave up on.")]


@app.command(name="list")
def list_letters(
    *,
    consumer: OfConsumer = "",
    most: Annotated[int, typer.Option(min=1, help="How many of the newest to list.")] = 50,
    nats_url: NatsUrl = NATS_URL,
    nats_credentials: Credentials = None,
) -> None:
    """List the newest dead letters, and why each was given up."""

    async def read() -> list[Letter]:
        async with letters(Bus(url=nats_url, credentials=nats_credentials)) as box:
            return await box.all(of_consumer=consumer)

    print("\n".join(mourning.table(run(read()), most=most)))


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="As `estafette dead list` shows it.")],
    *,
    nats_url: NatsUrl = NATS_URL,
    nats_credentials: Credentials = None,
) -> None:
    """Show a dead letter: where it comes from, its headers, its body."""

    async def read() -> Letter:
        async with letters(Bus(url=nats_url, credentials=nats_credentials)) as box:
            return await box.get(number)

    print("\n".join(mourning.details(run(read()))))


@app.command()
def replay(
    numbers: Numbers = None,
    *,
    every: All = False,
    consumer: OfConsumer = "",
    nats_url: NatsUrl = NATS_URL,
    nats_credentials: Credentials = None,
) -> None:
    """Hand dead letters once more to the consumers that gave up on them, and to nobody else."""

    async def send() -> int:
        async with letters(Bus(url=nats_url, credentials=nats_credentials)) as box:
            chosen = await _chosen(box, numbers, every=every, consumer=consumer)
            for number in chosen:
                letter = await box.replay(number)
                print(f"{number} {letter.subject} goes to {letter.consumer} again")
            return len(chosen)

    if run(send()) == 0:
        print("there are no dead letters")


@app.command()
def drop(
    numbers: Numbers = None,
    *,
    every: All = False,
    consumer: OfConsumer = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    nats_url: NatsUrl = NATS_URL,
    nats_credentials: Credentials = None,
) -> None:
    """Forget dead letters for good."""

    bus = Bus(url=nats_url, credentials=nats_credentials)

    async def choose() -> list[Letter]:
        async with letters(bus) as box:
            return [await box.get(number) for number in await _chosen(box, numbers, every=every, consumer=consumer)]

    async def forget(chosen: list[Letter]) -> None:
        async with letters(bus) as box:
            for letter in chosen:
                await box.drop(letter.number)

    chosen = run(choose())
    if chosen and not yes:
        print("\n".join(mourning.table(chosen, most=len(chosen))))
        typer.confirm(f"Forget {mourning.count(len(chosen))} for good?", abort=True)
    run(forget(chosen))
    print(f"{mourning.count(len(chosen))} forgotten")


async def _chosen(box: Letters, numbers: list[int] | None, *, every: bool, consumer: str) -> list[int]:
    """Return the numbers that are written, each of which there is, or all; ends the program where neither is meant."""
    if bool(numbers) == every or (consumer and not every):
        give_up("name dead letters by their numbers, or write --all, with --consumer for those of one")
    if every:
        return [letter.number for letter in await box.all(of_consumer=consumer)]
    return [(await box.get(number)).number for number in dict.fromkeys(numbers or ())]

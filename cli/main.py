"""`slipway`: one file a group of commands."""

import io
import sys

import typer

from cli import (
    channels,
    connect,
    connections,
    deadletters,
    deliveries,
    deployments,
    doctor,
    explain,
    gates,
    people,
    places,
    push,
    secrets,
    stack,
    subscribers,
    trust,
    variables,
)

app = typer.Typer(
    name="slipway",
    help="Push, and the commit is built, deployed, checked and watched; when a stage fails, the whole environment goes back.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    stack,
    push,
    deployments,
    explain,
    variables,
    secrets,
    places,
    connect,
    connections,
    deliveries,
    channels,
    subscribers,
    gates,
    people,
    deadletters,
    doctor,
    trust,
):
    group.register(app)


def main() -> None:
    """The program. What an old terminal has no character for is shown as its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()


if __name__ == "__main__":
    main()

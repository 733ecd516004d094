"""One call of the command line: its settings, its API, and whether it speaks JSON; and how a command is made."""

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.text import Text

from cli.failures import Failed
from cli.settings import Settings
from cli.table import cell, lines

if TYPE_CHECKING:
    from cli.client import Api

P = ParamSpec("P")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


_UNBOUNDED = 1000
"""Columns of what is no terminal."""


class Session:
    """Lives as long as the command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.settings = Settings()
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)
        self._api: Api | None = None

    @property
    def api(self) -> "Api":
        """The API; opened when it is first needed."""
        from cli.client import Api

        if self._api is None:
            self._api = Api(self.settings)
        return self._api

    def close(self) -> None:
        """Closes what was opened."""
        if self._api is not None:
            self._api.close()

    def show(self, data: object, text: str = "") -> None:
        """The result: data for programs, text for people."""
        if self.as_json:
            print(json.dumps(data, ensure_ascii=False, default=str))
        elif text:
            self.out.print(Text(text))

    def rows(self, items: Iterable[dict[str, Any]], columns: dict[str, str], empty: str) -> None:
        """A list: title of each column → key of the item. The important ones first: what does not fit goes to lines below."""
        rows = list(items)
        if self.as_json:
            self.show({"items": rows})
        elif not rows:
            self.out.print(Text(empty, style="dim"))
        else:
            for line in lines(list(columns), [[cell(key, row.get(key)) for key in columns.values()] for row in rows], self.out.width):
                self.out.print(line)

    def note(self, text: str) -> None:
        """What a person should know beside the result."""
        if not self.as_json:
            self.err.print(Text(text, style="dim"))


def _console(*, stderr: bool) -> Console:
    """Lines are cut to a terminal's width only: what reads a pipe wants them whole."""
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    return console


_current: ContextVar[Session] = ContextVar("session")


def session() -> Session:
    """The session of the command that runs."""
    return _current.get()


def command(
    group: typer.Typer, name: str, *, hidden: bool = False, json_option: bool = True
) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Registers a command with `--json`; its failures are said on standard error, and end with status 1."""

    def register(function: Callable[P, None]) -> Callable[P, None]:
        run = _in_session(function)
        _sign(run, function, after=(_JSON,) if json_option else ())
        group.command(name, hidden=hidden)(run)
        return function

    return register


def listing(group: typer.Typer, function: Callable[..., None]) -> None:
    """Registers what a group of commands does without another word, and as `list`. A group has one."""
    command(group, "list")(function)
    show = _in_session(function)

    def bare(ctx: typer.Context, **options: object) -> None:
        if ctx.invoked_subcommand is None:
            show(**options)
            return
        for parameter in ctx.command.params:
            source = ctx.get_parameter_source(parameter.name or "")
            if source is not None and source.name == "COMMANDLINE":
                word, option = ctx.invoked_subcommand, parameter.opts[0]
                raise typer.BadParameter(f"write {option} after `{word}`: {ctx.command_path} {word} {option} …")

    _sign(bare, function, before=(_CONTEXT,), after=(_JSON,))
    group.callback(invoke_without_command=True)(bare)


def _in_session(function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def run(*args: object, **kwargs: object) -> None:
        current = Session(as_json=bool(kwargs.pop("json", False)))
        token = _current.set(current)
        try:
            _refuse_empty(function, kwargs)
            function(*args, **kwargs)
        except Failed as failed:
            _say(current, failed)
            raise typer.Exit(1) from failed
        except UnicodeError as error:
            _say(current, Failed("What was given, or is read, is no text in UTF-8.", code="no-text"))
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupted:
            raise typer.Exit(130) from interrupted
        finally:
            current.close()
            _current.reset(token)

    return run


def _refuse_empty(function: Callable[..., None], given: Mapping[str, object]) -> None:
    """What a script's variable did not hold must not mean all, the newest, or the caller's own, as what is not given does."""
    for name, parameter in inspect.signature(function).parameters.items():
        if given.get(name) == "" and parameter.default != "":
            raise typer.BadParameter(f"{name} is empty")


_CONTEXT = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
_JSON = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson)


def _sign(
    run: Callable[..., None],
    function: Callable[..., None],
    before: tuple[inspect.Parameter, ...] = (),
    after: tuple[inspect.Parameter, ...] = (),
) -> None:
    """Gives `run` the parameters of `function`, which typer reads, and more."""
    signature = inspect.signature(function)
    run.__signature__ = signature.replace(parameters=[*before, *signature.parameters.values(), *after])  # type: ignore[attr-defined]
    run.__annotations__ = {**function.__annotations__, **{each.name: each.annotation for each in (*before, *after)}}


def _say(current: Session, failed: Failed) -> None:
    if current.as_json:
        error = {"code": failed.code, "message": failed.message, "remedy": failed.remedy}
        print(json.dumps({"error": error}, ensure_ascii=False), file=sys.stderr)
        return
    current.err.print(Text.assemble(("✗", "bold red"), f" {failed.message}"))
    if failed.remedy:
        current.err.print(Text(f"  → {failed.remedy}"))

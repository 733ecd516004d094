"""Variables of the environment that cannot be read, or that nothing reads, said so that their owner can mend them."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import AliasChoices, ValidationError
from pydantic_settings import BaseSettings, SettingsError

_PREFIX = "SLIPWAY_"


@dataclass(frozen=True)
class Misread:
    """One variable, what it holds, what is wrong with that, and what it is where nobody sets it."""

    variable: str
    value: str
    problem: str
    default: str


def misread(kind: type[BaseSettings]) -> tuple[Misread, ...]:
    """The variables that `kind` cannot be read from. What is missing is no mistake of the user's: the start gives it."""
    try:
        kind()
    except ValidationError as error:
        return tuple(_misread(kind, error))
    except SettingsError as error:  # a list or table that is no JSON; the text names the field only
        names = (name for name in kind.model_fields if f'"{name}"' in str(error))
        return tuple(_said(kind, name, "it is no JSON") for name in names)
    return ()


def names(kind: type[BaseSettings]) -> frozenset[str]:
    """The variables of ours that `kind` is read from."""
    own = kind.model_config.get("env_prefix", _PREFIX)
    fields = ((name, field.validation_alias) for name, field in kind.model_fields.items())
    choices = (alias.choices if isinstance(alias, AliasChoices) else (f"{own}{name.upper()}",) for name, alias in fields)
    return frozenset(str(each) for several in choices for each in several if str(each).startswith(_PREFIX))


def unread(known: Collection[str]) -> list[str]:
    """Those of ours in the environment that are not `known`. Case means nothing, as where they are read."""
    return sorted(name for name in os.environ if name.upper().startswith(_PREFIX) and name.upper() not in known)


def nearest(variable: str, known: Collection[str]) -> str | None:
    """What its owner may have meant."""
    short = {name.removeprefix(_PREFIX): name for name in known}
    found = get_close_matches(variable.upper().removeprefix(_PREFIX), short, n=1)
    return short[found[0]] if found else None


def _misread(kind: type[BaseSettings], error: ValidationError) -> Iterator[Misread]:
    for each in error.errors():
        name = str(each["loc"][0]) if each["loc"] else ""
        if each["type"] != "missing" and name.removeprefix(_PREFIX).lower() in kind.model_fields:
            yield _said(kind, name.removeprefix(_PREFIX).lower(), each["msg"].removeprefix("Value error, "))


def _said(kind: type[BaseSettings], name: str, problem: str) -> Misread:
    variable = f"{kind.model_config.get('env_prefix', _PREFIX)}{name.upper()}"
    default = kind.model_fields[name].get_default(call_default_factory=True, validated_data={})
    return Misread(variable, os.environ.get(variable, ""), problem, "" if default in (None, ()) else str(default))

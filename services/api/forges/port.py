"""What differs between forges in making a hook: one file a forge beside this one; `forges.HOOKS` is the table of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

Body = Mapping[str, JsonValue]


@dataclass(frozen=True)
class Hook:
    """A hook that a repository has."""

    id: str
    url: str


@dataclass(frozen=True)
class Test:
    """How the forge is asked for a delivery that leads to no deployment. `{id}` is the hook's, `{url}` its address."""

    path: str
    body: Body
    maybe: bool = False
    """It may be refused though the hook is good: older versions do not have it, or it takes a repository with a commit."""


@dataclass(frozen=True)
class HookForm:
    """How one forge speaks of hooks. Paths are below the repository's."""

    path: str
    all: str
    """The query for as many as it gives at once."""
    read: Callable[[bytes], list[Hook]]
    """Those in the answer to a list; raises `pydantic.ValidationError`."""
    made: Callable[[bytes], Hook]
    """The one in the answer to its making."""
    body: Callable[[str, str], Body]
    """A hook that calls this address, signing with this secret, of all that Slipway reads."""
    change: str
    """The method that changes one."""
    test: Test | None
    pings: bool = False
    """It sends a ping when a hook is made."""
    kind: str = ""
    """The part of the body that says what is made, which a change does not take."""

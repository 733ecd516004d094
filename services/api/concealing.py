"""Messages made fit to be shown: what could be a secret is not."""

import json
import re
from collections.abc import Mapping
from typing import Any

from shared.redaction import HIDDEN

_SECRET = re.compile(r"secret|password|passwd|token|credential|private|authorization|api_?key", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@\"]+(?=@)")
LONGEST = 64 * 1024
"""Characters of a body that are shown."""


def concealed(body: str) -> str:
    """A message's body, laid out where it is JSON, without anything under a name that speaks of secrets (sealed values among them)
    and without what stands before the host in addresses."""
    try:
        text = json.dumps(_without(json.loads(body)), indent=2, ensure_ascii=False)
    except ValueError:
        text = body
    return in_addresses(text)[:LONGEST]


def in_addresses(text: str) -> str:
    """Text without what stands before the host in addresses."""
    return _IN_ADDRESS.sub(HIDDEN, text)


def headers_shown(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of the message itself."""
    return {name: in_addresses(value) for name, value in headers.items() if not name.startswith(("slipway-", "Nats-"))}


def _without(value: Any) -> Any:
    match value:
        case dict():
            return {name: _hidden(part) if _SECRET.search(name) else _without(part) for name, part in value.items()}
        case list():
            return [_without(part) for part in value]
        case _:
            return value


def _hidden(value: Any) -> Any:
    """The shape stays: which secrets there are may be seen."""
    match value:
        case dict():
            return {name: _hidden(part) for name, part in value.items()}
        case list():
            return [_hidden(part) for part in value]
        case None | bool() | int() | float():
            return value
        case _:
            return HIDDEN

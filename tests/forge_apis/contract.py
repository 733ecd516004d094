"""Whether what goes to a forge, and what comes from it, is as the forge publishes it: `tests/data/apis`."""

import gzip
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft202012Validator
from starlette.requests import Request
from starlette.responses import Response

from tests.forge_apis.typescript import Schema

_ROOTS = {"github": "/api/v3", "gitlab": "/api/v4", "bitbucket": "/2.0", "bitbucket-data-center": "/rest", "gitea": "/api/v1"}
"""What is before the paths that a forge publishes, on its own host."""

_OF_ALL_LISTS = {"bitbucket": ("page", "pagelen", "sort", "fields"), "bitbucket-data-center": ("start", "limit")}
"""What those say of every list in one place, and of few where they publish it (Bitbucket Data Center's `webhooks` has a `limit`, too)."""
_PLACE = re.compile(r"\[\d+\]")
"""Of one of many, which all fit or do not."""


def file_of(forge: str) -> Path:
    """Where the operations of a forge are that Slipway calls."""
    return Path(__file__).resolve().parents[1] / "data" / "apis" / f"{forge}.json{'' if forge == 'gitlab' else '.gz'}"


@cache
def _operations(forge: str) -> dict[str, Schema]:
    held = file_of(forge).read_bytes()
    found: dict[str, Schema] = json.loads(gzip.decompress(held) if held[:2] == b"\x1f\x8b" else held)["operations"]
    return found


@dataclass
class Contract:
    """One forge's; `misfits`: what did not fit it."""

    forge: str
    misfits: list[str] = field(default_factory=list)

    def takes(self, method: str, target: str, body: bytes = b"") -> None:
        """A request, with its path as it was sent, and its query."""
        name, operation = self._operation(method, target)
        if operation is None:
            self.misfits.append(f"{name}: there is no such operation")
            return
        for key, values in parse_qs(urlsplit(target).query, keep_blank_values=True).items():
            if key in _OF_ALL_LISTS.get(self.forge, ()):
                continue
            if key not in operation["query"]:
                self.misfits.append(f"{name}: it knows no {key} in its query")
            elif not any(_fits(operation["query"][key], value) for value in (*values, *map(_number, values))):
                self.misfits.append(f"{name}: {key} cannot be {values}")
        self._check(f"{name}, sent", operation["body"], json.loads(body or b"{}"))

    def answers(self, method: str, target: str, status: int, body: bytes = b"") -> None:
        """What a forge answers to it, where it does not refuse."""
        name, operation = self._operation(method, target)
        if operation is None or status >= 300:
            return
        if str(status) not in operation["answers"]:
            self.misfits.append(f"{name}: it does not answer {status}, but {' or '.join(operation['answers'])}")
        elif body:
            self._check(f"{name}, answered", operation["answers"][str(status)], json.loads(body))

    def checked(self, request: Request, body: bytes, response: Response) -> Response:
        """The answer of a local server, which is to speak as the forge does."""
        target = f"{request.scope['raw_path'].decode()}?{request.url.query}"
        self.takes(request.method, target, body)
        self.answers(request.method, target, response.status_code, bytes(response.body))
        return response

    def assert_kept(self) -> None:
        """Raises AssertionError with all misfits."""
        assert not self.misfits, f"not as {self.forge} publishes its API:\n" + "\n".join(dict.fromkeys(self.misfits))

    def _operation(self, method: str, target: str) -> tuple[str, Schema | None]:
        path = urlsplit(target).path.removeprefix(_ROOTS[self.forge]).rstrip("/")
        fitting = [name for name in _operations(self.forge) if _is(name, f"{method} {path}")]
        name = min(fitting, key=lambda each: each.count("{"), default=f"{method} {path}")
        return name, _operations(self.forge).get(name)

    def _check(self, where: str, schema: Schema, held: object) -> None:
        for error in Draft202012Validator(schema).iter_errors(held):
            self.misfits.append(f"{where}: {re.sub(_PLACE, '[]', error.json_path)}: {error.message[:300]}")


def _is(name: str, request: str) -> bool:
    wanted, given = name.split("/"), request.split("/")
    return len(wanted) == len(given) and all(each.startswith("{") or each == part for each, part in zip(wanted, given, strict=True))


def _fits(schema: Schema, value: object) -> bool:
    return bool(Draft202012Validator(schema).is_valid(value))


def _number(value: str) -> object:
    """A query says numbers and truths as text."""
    try:
        return json.loads(value)
    except ValueError:
        return value

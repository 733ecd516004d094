"""The public API over HTTP, and nothing else of the platform."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import count
from typing import TypeAlias

import httpx

from cli.answers import Json
from cli.failures import Away, Failed, NoToken, NotRunning
from cli.patience import patience
from cli.settings import Settings
from shared.authorities import nobody, trusted

Query: TypeAlias = Mapping[str, str | int | bool | list[str] | None]

_REMEDIES = {
    401: "Set SLIPWAY_TOKEN to a good token: slipway token create",
    403: "Ask an admin for a role: slipway people grant",
    503: "Look at it: slipway status",
}
_LISTS = {"deployments": "deployments", "projects": "project", "environments": "environment"}
"""Collections of the API, and the commands that list them."""
_TRIES = 3
RETURNS = 20
"""How often it is looked whether the platform is there again, while something is waited for: half a minute."""
_AWAY = (httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT)


class Api:
    """Asks the API as the person of the token. Problems become `Failed` with their detail."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.base_url
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers={"Authorization": f"Bearer {token_of(settings)}", "Accept": "application/json"},
            timeout=httpx.Timeout(30, connect=3),
            verify=trusted() if self.url.startswith("https:") else nobody(),
        )

    def get(self, path: str, query: Query | None = None) -> Json:
        """Reads."""
        return self._json("GET", path, query=query)

    def get_on(self, path: str, remedy: str, query: Query | None = None) -> Json:
        """Reads what was begun already, again and again while the platform is away. `remedy`: what to do where it stays away."""
        for failures in count(1):
            try:
                return self.get(path, query)
            except Away as away:
                if failures > RETURNS:
                    raise Failed(away.message, remedy, code=away.code) from away
                pause(failures)
        raise AssertionError("the loop returns or raises")

    def post(self, path: str, body: Json | None = None) -> Json:
        """Changes once, however often it has to be sent (Idempotency-Key)."""
        return self._json("POST", path, body=body, headers={"Idempotency-Key": uuid.uuid4().hex})

    def put(self, path: str, body: Json, query: Query | None = None) -> Json:
        """Sets."""
        return self._json("PUT", path, body=body, query=query)

    def patch(self, path: str, body: Json, query: Query | None = None) -> Json:
        """Changes a part."""
        return self._json("PATCH", path, body=body, query=query)

    def delete(self, path: str, query: Query | None = None) -> Json:
        """Removes."""
        return self._json("DELETE", path, query=query)

    def find(self, path: str) -> Json | None:
        """Reads what may not be there."""
        try:
            return self.get(path)
        except Failed as failed:
            if failed.code == "not-found":
                return None
            raise

    def items(self, path: str, query: Query | None = None, most: int | None = None) -> Iterator[Json]:
        """Everything in a list, page by page; at most `most`."""
        given, after = 0, ""
        while True:
            limit = 100 if most is None else min(100, most - given)
            page = self.get(path, {**(query or {}), "limit": limit, "after": after})
            yield from page["items"]
            given += len(page["items"])
            if page["next"] is None or (most is not None and given >= most):
                return
            after = page["next"]

    def stream(self, path: str, last_event_id: str) -> AbstractContextManager[httpx.Response]:
        """A live stream; it is silent for at most 20 s while it lives."""
        return self._http.stream(
            "GET",
            path,
            headers={"Accept": "text/event-stream", "Last-Event-ID": last_event_id},
            timeout=httpx.Timeout(40, connect=3),
        )

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        with patience(f"waiting for {self.url}"):
            response = self._send(method, path, given, body, headers or {})
        check(response)
        return {} if response.status_code == httpx.codes.NO_CONTENT else response.json()

    def _send(self, method: str, path: str, query: Query, body: Json | None, headers: Mapping[str, str]) -> httpx.Response:
        for attempt in range(_TRIES):
            try:
                return self._http.request(method, path, params=dict(query), json=body, headers=dict(headers))
            except httpx.ConnectError as error:
                raise NotRunning(self.url) from error
            except httpx.TransportError as error:
                if attempt == _TRIES - 1:
                    raise Away(f"{self.url} broke off: {error}", "Look at it: slipway status") from error
        raise AssertionError("the loop returns or raises")


def pause(failures: int) -> None:
    """Until it is looked again whether the platform is there."""
    time.sleep(min(0.25 * failures, 2))


def check(response: httpx.Response) -> None:
    """Raises what a refused request means."""
    if response.is_success:
        return
    response.read()
    kind = Away if response.status_code in _AWAY else Failed
    try:
        problem = response.json()
        detail, code = str(problem["detail"]), str(problem["type"]).rpartition("/")[2]
    except (ValueError, KeyError, TypeError):
        if response.status_code == httpx.codes.BAD_GATEWAY:
            raise NotRunning(str(response.request.url.copy_with(path="/", query=None)).rstrip("/")) from None
        where = f"{response.request.method} {response.request.url}"
        raise kind(f"{where} answered {response.status_code}.", "Look at it: slipway status") from None
    raise kind(detail, _REMEDIES.get(response.status_code) or _where_to_look(response), code=code)


def _where_to_look(response: httpx.Response) -> str:
    """Of what is not there: the command that lists what is."""
    if response.status_code != httpx.codes.NOT_FOUND:
        return ""
    collection = response.request.url.path.removeprefix("/api/v1/").partition("/")[0]
    return f"See which there are: slipway {_LISTS[collection]}" if collection in _LISTS else ""


def token_of(settings: Settings) -> str:
    """The token of the environment, else that of `slipway up`."""
    if settings.token is not None:
        token = settings.token.get_secret_value().strip()
        if not token.isascii() or not token.isprintable() or not token:
            raise Failed("SLIPWAY_TOKEN holds no token.", "Set it to one (slipway token create), or unset it.", code="no-token")
        return token
    try:
        return settings.token_file.read_text().strip()
    except OSError as error:
        raise NoToken(str(settings.token_file)) from error

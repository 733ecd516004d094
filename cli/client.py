"""The public API over HTTP, and nothing else of the platform."""

import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from itertools import count
from typing import TypeAlias
from urllib.parse import quote

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
_EXAMPLES = {"SLIPWAY_URL": "https://slipway.example", "SLIPWAY_HTTP": "127.0.0.1:8080"}
_TRIES = 3
RETURNS = 20
"""How often it is looked whether the platform is there again, while something is waited for: half a minute."""
_AWAY = (httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT)


class Api:
    """Asks the API as the person of the token. Problems become `Failed` with their detail."""

    def __init__(self, settings: Settings) -> None:
        self.url = address_of(settings)
        headers = {"Authorization": f"Bearer {token_of(settings)}", "Accept": "application/json"}
        believed = trusted() if self.url.startswith("https:") else nobody()
        try:
            self._http = httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=httpx.Timeout(30, connect=3), verify=believed)
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            what = f"The proxy that the environment names cannot be used: {error}"
            raise Failed(what, "Mend or unset ALL_PROXY, HTTP_PROXY and HTTPS_PROXY.", code="settings") from error

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
            _as_named(path),
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
        try:
            return {} if response.status_code == httpx.codes.NO_CONTENT else response.json()
        except ValueError as error:
            raise Failed(f"What answers at {self.url} is not Slipway.", "Set SLIPWAY_URL to where it is.", code="not-slipway") from error

    def _send(self, method: str, path: str, query: Query, body: Json | None, headers: Mapping[str, str]) -> httpx.Response:
        for attempt in range(_TRIES):
            try:
                return self._http.request(method, _as_named(path), params=dict(query), json=body, headers=dict(headers))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if untrusted := _of_tls(error):
                    raise untrusted from error
                raise NotRunning(self.url) from error
            except httpx.TransportError as error:
                if attempt == _TRIES - 1:
                    raise Away(f"{self.url} broke off: {error}", "Look at it: slipway status") from error
        raise AssertionError("the loop returns or raises")


def _as_named(path: str) -> str:
    """A path with names as somebody typed them, of which none leads anywhere but to what it names."""
    parts = path.removeprefix("/").split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        raise Failed(f"There is no {path}.", "Is a name empty?", code="not-found")
    return "".join(f"/{quote(part)}" for part in parts)


def _of_tls(error: BaseException | None) -> Failed | None:
    """Where something answers, and TLS fails."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    remedy = "Is its certificate of an authority of your own, say its file: SSL_CERT_FILE=ca.pem"
    return None if error is None else Failed(f"TLS fails with what answers: {error}", remedy, code="tls")


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


def address_of(settings: Settings) -> str:
    """The platform's address, without a slash at its end."""
    with suppress(httpx.InvalidURL):
        url = httpx.URL(settings.base_url)
        if url.scheme in ("http", "https") and url.host and not (url.query or url.fragment):
            return settings.base_url
    name, value = ("SLIPWAY_URL", settings.url) if settings.url else ("SLIPWAY_HTTP", settings.http)
    raise Failed(f"{name} holds no address: {value}", f"Set it as {_EXAMPLES[name]}, or unset it.", code="settings")


def token_of(settings: Settings) -> str:
    """The token of the environment, else that of `slipway up`."""
    if settings.token is not None:
        return _good(settings.token.get_secret_value(), "SLIPWAY_TOKEN")
    try:
        return _good(settings.token_file.read_text(errors="replace"), str(settings.token_file))
    except (OSError, RuntimeError) as error:  # the latter where the home is `~somebody` who is not there
        raise NoToken(f"{settings.home}/token") from error


def _good(token: str, where: str) -> str:
    token = token.strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise Failed(f"{where} holds no token.", "Set SLIPWAY_TOKEN to one (slipway token create), or unset it.", code="no-token")
    return token

"""The HTTP client for addresses that users give: it calls the very address that it has checked, follows no redirects, and reads no more than it needs.

Answers that are compressed, although none was asked for, count as failed.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from shared.authorities import trusted
from shared.outbound import Reach, Refused, Unresolved

LIMIT_S = 15.0
"""For a whole request: name, connection, answer."""
READ_BYTES = 1024 * 1024


class Failed(Exception):
    """No answer came, or none that can be read; another time one may."""


@dataclass(frozen=True)
class Response:
    """What came back; of a longer body its beginning."""

    status: int
    headers: httpx.Headers
    body: bytes

    def text(self, longest: int = 300) -> str:
        """The beginning of the body, as one line."""
        return " ".join(self.body[: 4 * longest].decode("utf-8", "replace").split())[:longest]


class GuardedClient:
    """Made by `guarded_client`."""

    def __init__(self, client: httpx.AsyncClient, reach: Reach) -> None:
        self._client = client
        self._reach = reach

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """One request. Raises Refused or Failed."""
        target = _parsed(url)
        try:
            async with asyncio.timeout(LIMIT_S):
                address = await self.address_of(target.host, target.port or (443 if target.scheme == "https" else 80))
                return await self._send_to(address, method, target, headers, body)
        except TimeoutError:
            raise Failed(f"{target.host} did not answer within {LIMIT_S:.0f} s") from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise Failed(f"{target.host} cannot be reached: {str(error) or type(error).__name__}") from error

    async def address_of(self, host: str, port: int) -> str:
        """An address of the host that may be called. Raises Refused or Failed."""
        try:
            return (await self._reach.addresses_of(host, port))[0]
        except Unresolved as error:
            raise Failed(str(error)) from error

    async def _send_to(self, address: str, method: str, target: httpx.URL, headers: Mapping[str, str], body: bytes | None) -> Response:
        # The URL names the address that was checked; Host and the certificate's name stay those of the target.
        request = self._client.build_request(
            method,
            target.copy_with(host=address),
            headers={**headers, "Host": target.netloc.decode("ascii"), "Accept-Encoding": "identity"},
            content=body,
            extensions={"sni_hostname": target.host.encode("idna").decode("ascii") if target.host else ""},
        )
        response = await self._client.send(request, stream=True)
        try:
            # As it came: a kilobyte of compressed zeros, unpacked, fills the memory of a process.
            read = bytearray()
            async for chunk in response.aiter_raw():
                read += chunk
                if len(read) >= READ_BYTES:
                    break
            coding = response.headers.get("content-encoding", "identity")
            if read and coding.strip().lower() not in ("", "identity"):
                raise Failed(f"{target.host} answered in the coding {coding[:100]!r}, which was not asked for")
            return Response(response.status_code, response.headers, bytes(read[:READ_BYTES]))
        finally:
            await response.aclose()


def _parsed(url: str) -> httpx.URL:
    try:
        target = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise Refused(f"the address is no URL: {error}") from error
    if target.scheme not in ("http", "https") or not target.host:
        raise Refused("the address must begin with https:// or http://")
    if target.userinfo:
        raise Refused("the address must not hold a user or password")
    return target


@asynccontextmanager
async def guarded_client(reach: Reach) -> AsyncIterator[GuardedClient]:
    """A client without proxies (they would resolve names themselves), cookies or redirects."""
    timeout = httpx.Timeout(10.0)
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=8)
    async with httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=timeout, limits=limits, verify=trusted()) as client:
        yield GuardedClient(client, reach)

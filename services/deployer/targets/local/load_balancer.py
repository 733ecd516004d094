"""What Traefik has in effect, asked of its own API. https://doc.traefik.io/traefik/reference/install-configuration/api-dashboard/ (v3)."""

import asyncio
from dataclasses import dataclass

import httpx

from shared.authorities import nobody
from shared.work import StepFailure, Unavailable

_EVERY_S = 0.003
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class LoadBalancer:
    """Traefik's API."""

    client: httpx.AsyncClient

    @classmethod
    def at(cls, address: str) -> "LoadBalancer":
        """The API at that base address."""
        return cls(httpx.AsyncClient(base_url=address, timeout=2.0, trust_env=False, verify=nobody()))

    async def servers(self, service: str) -> tuple[str, ...]:
        """The servers that a service has now; none where there is no such service."""
        answer = await self._get(f"/api/http/services/{service}@file")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return ()
        balancer = answer.raise_for_status().json().get("loadBalancer") or {}
        return tuple(server["url"] for server in balancer.get("servers") or ())

    async def routes_to(self, router: str, url: str | None) -> bool:
        """Whether the router of that name (and its service) leads to this server; with None, whether there is no such router."""
        answer = await self._get(f"/api/http/routers/{router}@file")
        if url is None:
            return answer.status_code == httpx.codes.NOT_FOUND
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        router_now = answer.raise_for_status().json()
        if router_now.get("status") != "enabled":
            problems = "; ".join(router_now.get("error") or ())
            raise StepFailure(
                "route_refused", f"the load balancer does not take the route {router}: {problems or router_now.get('status')}"
            )
        return await self.servers(router) == (url,)

    async def until_routes_to(self, router: str, url: str | None) -> None:
        """Waits until it does. Raises `StepFailure` (`load_balancer_stale`) after ten seconds."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not await self.routes_to(router, url):
                    await asyncio.sleep(_EVERY_S)
        except TimeoutError:
            wanted = f"does not lead to {url}" if url else "is still there"
            raise StepFailure(
                "load_balancer_stale",
                f"the route {router} {wanted} after {_PATIENCE_S:g} s: see the load balancer's log for a file that it cannot read",
                may_pass=True,
            ) from None

    async def ready(self) -> None:
        """Raises `Unavailable` where it does not answer."""
        await self._get("/api/version")

    async def close(self) -> None:
        """Ends the connections."""
        await self.client.aclose()

    async def _get(self, path: str) -> httpx.Response:
        try:
            return await self.client.get(path)
        except httpx.TransportError as error:
            raise Unavailable(f"the load balancer's API does not answer: {error!r}") from error

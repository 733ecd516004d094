"""The platform's front door: where Traefik sends requests for `/hooks`, `/git` and all else, and how many deliveries it lets in."""

from pathlib import Path

from shared.traefik import (
    DynamicConfiguration,
    Errors,
    Headers,
    Http,
    InFlightReq,
    LoadBalancer,
    Middleware,
    Router,
    Server,
    Service,
    SourceCriterion,
    path_prefix,
    place,
)

DELIVERIES_MOST = 384
"""Deliveries that Traefik holds at once, about 0.3 MB each. More than webhooks takes (256), which refuses what is too much by
itself, with better words, as long as it keeps up; no more than it answers soon where it does not."""
_RETRY_AFTER_S = 15


def route_platform(dynamic: Path, webhooks: str, api: str, deliveries_most: int = DELIVERIES_MOST) -> None:
    """`/hooks` and `/git` go to the webhooks process, the rest to api (both host:port).

    A delivery that cannot be taken, because there are too many or because webhooks is away, is answered 503 with Retry-After:
    forges count 4xx as a broken hook.
    """
    limited = ("hooks-busy", "hooks-most")
    routers = {
        "platform-hooks": _route("/hooks/", "platform-webhooks", 20, limited),
        "platform-git": _route("/git/", "platform-webhooks", 20),
        "platform-api": _route("/", "platform-api", 10),
    }
    services = {
        "platform-webhooks": _at(webhooks),
        "platform-api": _at(api),
        "hooks-busy": Service(load_balancer=LoadBalancer(servers=()), middlewares=("retry-after",)),
    }
    http = Http(routers=routers, services=services, middlewares=_middlewares(deliveries_most))
    place(dynamic, "platform", DynamicConfiguration(http=http))


def _route(prefix: str, service: str, priority: int, middlewares: tuple[str, ...] | None = None) -> Router:
    return Router(rule=path_prefix(prefix), service=service, entry_points=("platform",), priority=priority, middlewares=middlewares)


def _at(address: str) -> Service:
    return Service(load_balancer=LoadBalancer(servers=(Server(url=f"http://{address}"),)))


def _middlewares(deliveries_most: int) -> dict[str, Middleware]:
    # All count together, whatever they say: this header stands in no request, since Go takes it out of them.
    of_all = SourceCriterion(request_header_name="Host")
    rewrites = dict.fromkeys(("429", "502", "504"), 503)
    return {
        "hooks-most": Middleware(in_flight_req=InFlightReq(amount=deliveries_most, source_criterion=of_all)),
        "hooks-busy": Middleware(errors=Errors(status=tuple(rewrites), status_rewrites=rewrites, service="hooks-busy")),
        "retry-after": Middleware(headers=Headers(custom_response_headers={"Retry-After": str(_RETRY_AFTER_S)})),
    }

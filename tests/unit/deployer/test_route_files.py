"""Route files, rendered from records."""

from pathlib import Path

from services.deployer.targets.local.records import ServiceRecord
from services.deployer.targets.local.route_files import RouteFiles
from shared.traefik import parse
from tests.unit.deployer.places import PLACE, placed

FILES = RouteFiles(Path("/home/traefik/certificates"), 8443)
NAME = "main.shop.production.web"


def test_live_and_candidate() -> None:
    """The live release has a public route and a redirection; the candidate asks for its header, with a higher priority."""
    record = ServiceRecord(
        place=PLACE, service="web", live=placed("one", "d1"), candidate=placed("two", "d2", "10.0.0.3"), certificate="c1"
    )
    rendered = FILES.render(record, "token")
    assert rendered is not None
    assert parse(rendered.render()) == rendered
    http = rendered.http
    assert http is not None
    public, private, plain = http.routers[NAME], http.routers[f"{NAME}.candidate"], http.routers[f"{NAME}.web"]
    assert public.rule == "Host(`web.localhost`)"
    assert private.rule == "(Host(`web.localhost`)) && (Header(`X-Slipway-Candidate`, `token`))"
    assert (private.priority or 0) > (public.priority or 0)
    assert plain.middlewares == (f"{NAME}.https",)
    servers = {name: service.load_balancer.servers[0].url for name, service in http.services.items() if service.load_balancer}
    assert servers == {NAME: "http://10.0.0.2:8000", f"{NAME}.candidate": "http://10.0.0.3:8000"}
    assert rendered.tls is not None
    assert rendered.tls.certificates[0].key_file == f"certificates/{NAME}.c1.key"


def test_nothing_to_say() -> None:
    """A worker, and a service of which nothing is left, have no file."""
    assert FILES.render(ServiceRecord(place=PLACE, service="web"), "") is None
    assert FILES.render(ServiceRecord(place=PLACE, service="web", live=placed("one", "d1", port=None)), "") is None


def test_certificate_before_anything_is_routed() -> None:
    """A certificate that is there before its first route is in the file alone."""
    rendered = FILES.render(ServiceRecord(place=PLACE, service="web", candidate_certificate="c1"), "")
    assert rendered is not None
    assert rendered.http is None

"""The whole control plane, as `slipway up` starts it."""

import http.client
import json

import pytest

from embedded.home import Home
from embedded.services import SERVICES
from embedded.settings import Settings
from embedded.status import status
from embedded.supervisor import down, up


def ask(settings: Settings, path: str, token: str = "") -> tuple[int, object]:
    """Status and JSON of the front door."""
    host, _, port = settings.http.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def organizations(settings: Settings, token: str) -> list[str]:
    """What api lists."""
    code, body = ask(settings, "/api/v1/organizations", token)
    assert code == 200
    assert isinstance(body, dict)
    return [each["slug"] for each in body["items"]]


@pytest.mark.timeout(120)
def test_the_platform_answers_at_its_front_door_with_the_first_token(settings: Settings) -> None:
    """After `up` every service is ready, api knows the first organization, webhooks answers at /hooks; a lost token is made anew."""
    started = up(settings, detach=True)
    found = status(settings)
    assert found.ready
    assert {each.name for each in found.processes} == {"supervisor", "nats", "postgres", *(service.name for service in SERVICES)}
    assert sum(each.memory_mb for each in found.processes) < 450

    token = started.token_file.read_text().strip()
    assert started.token_file.stat().st_mode & 0o777 == 0o600
    assert organizations(settings, token) == ["main"]
    assert ask(settings, "/api/v1/organizations")[0] == 401
    code, problem = ask(settings, "/hooks/nobody")
    assert code in {404, 405}
    assert isinstance(problem, dict)

    down(settings)
    started.token_file.unlink()
    up(settings, detach=True)
    renewed = started.token_file.read_text().strip()
    assert renewed != token
    assert organizations(settings, renewed) == ["main"]
    assert organizations(settings, token) == ["main"]
    assert Home.at(settings.home).instance == found.instance

"""Webhooks are switched off: what is pushed to a forge is deployed all the same, within the sweep's period, and once."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from examples.demo.forge import Forge
from examples.demo.payload import ACCOUNT, LOGIN, Moved, body_of, headers_of
from services.webhooks.settings import Settings
from tests import apps
from tests.apps import Repository
from tests.component.webhooks.forge_api import ForgeApi, serving_api
from tests.e2e.platform import Environment, Platform
from tests.polling import until

PERIOD_S: float = Settings.model_fields["sweep_s"].default
REF = "refs/heads/main"
TOKEN = "canary-of-the-sweep"


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """The forge's git server, which tells of nothing."""
    with Forge(tmp_path / "forge").serving() as running:
        yield running


@pytest.fixture
def record() -> Iterator[ForgeApi]:
    """The forge's own record of pushes."""
    with serving_api() as running:
        yield running


def test_a_push_is_deployed_within_a_period_and_once(platform: Platform, forge: Forge, record: ForgeApi, tmp_path: Path) -> None:
    """By the rights of who pushed, as the forge says; the webhook that comes later changes nothing."""
    api, name = platform.api, "swept"
    environment = platform.environment(name)
    mine = api.get("/me")["id"]
    connection = {"name": name, "project": name, "forge": "github", "clone_url": forge.clone_url, "api_url": record.url, "token": TOKEN}
    secret = api.post("/connections/main", connection)["secret"]
    api.put(f"/people/{mine}/identities", {"forge": f"github:{forge.host}", "login": LOGIN, "account_id": str(ACCOUNT)})
    copy, commits = Repository.create(tmp_path / "copy"), ["0" * 40]
    for version in ("1", "2"):
        commits.append(copy.commit(apps.good(platform.bases.shell, version=version)))
        record.said = [{"ref": REF, "after": commits[-1], "activity_type": "push", "actor": {"login": LOGIN, "id": ACCOUNT}}]
        copy.git("push", "--quiet", forge.clone_url, f"HEAD:{REF}")
        ended = environment.ended(environment.deployment_of(commits[-1], within=PERIOD_S))
        assert (ended.state, ended.page["pusher"]) == ("succeeded", LOGIN), ended.told()
        assert environment.get().json()["version"] == version
    moved = Moved(REF, commits[-2], commits[-1], "Deploy", "2026-11-29T00:00:00Z")
    body = body_of(moved, "acme/todo", forge.web_url)
    assert httpx.post(f"{platform.url}/hooks/{name}", content=body, headers=headers_of(body, secret), timeout=10).status_code == 202
    delivery = until(lambda: next(iter(api.items("/deliveries/main", {"connection": name}, most=1)), None), within=20, what="the delivery")
    assert delivery["changes"] == [], delivery
    assert _deployed(environment) == commits[:0:-1]


def _deployed(environment: Environment) -> list[str]:
    query = {"organization": environment.place.organization, "project": environment.place.project}
    return [str(found["commit"]) for found in environment.api.items("/deployments", query, most=20)]

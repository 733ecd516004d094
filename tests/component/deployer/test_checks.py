"""What an application answers to a check, however oddly, holds up nothing: its status counts, and its time is limited."""

import asyncio
from pathlib import Path

import pytest

from embedded import authority
from embedded.home import Home
from services.deployer.fence import Claim, Fence
from services.deployer.targets.local.checks import Front
from shared.contracts.manifest import HealthCheck
from shared.contracts.places import Place
from shared.contracts.releases import ContainerSpec, Release
from shared.work import StepFailure
from tests.component.deployer.answering import (
    Answer,
    checks,
    early_hints,
    falsely_packed,
    good,
    headers_slowly,
    noise,
    serving,
    slowly,
    without_end,
)
from tests.polling import eventually

PLACE = Place(organization="main", project="shop", environment="production")
TRY_S = 0.3
NAME = "no-such-application.localhost"
"""What the default certificate of a home answers for."""
MUCH_LONGER_S = 5.0
STATUS = [good, without_end, slowly, falsely_packed]
NO_STATUS = [headers_slowly, early_hints]


async def until_ready(folder: Path, port: int, path: str = "/") -> None:
    """Waits for a release whose check asks this port."""
    health = HealthCheck(http=path, start_period_s=0, interval_s=0.01, timeout_s=TRY_S, retries=1)
    container = ContainerSpec(image="i")
    release = Release(id="r1", key="k1", service="web", number=1, deployment="d1", container=container, port=port, health=health)
    async with asyncio.timeout(MUCH_LONGER_S):
        await checks().until_ready(Claim(Fence(folder), PLACE, 1, "d1", "check"), release)


@pytest.mark.parametrize("answer", STATUS)
async def test_the_status_counts(tmp_path: Path, answer: Answer) -> None:
    """Whatever comes after the status is not waited for, not read and not unpacked; none of it is asked for packed."""
    async with serving(answer) as (application, port):
        await until_ready(tmp_path, port)
        assert b"accept-encoding: identity\r\n" in application.asked.lower()
        await eventually(application.is_left, within=MUCH_LONGER_S)


@pytest.mark.parametrize("answer", NO_STATUS)
async def test_a_status_that_does_not_come(tmp_path: Path, answer: Answer) -> None:
    """Bytes that are no status do not make the time of one try longer, and the reason says so."""
    async with serving(answer) as (_application, port):
        with pytest.raises(StepFailure, match=f"GET / on port {port}: no answer in time") as failed:
            await until_ready(tmp_path, port)
        assert failed.value.failure.code == "unhealthy"


async def test_an_answer_that_is_none(tmp_path: Path) -> None:
    """The reason holds the beginning of it, and not all."""
    async with serving(noise) as (_application, port):
        with pytest.raises(StepFailure, match="illegal status line") as failed:
            await until_ready(tmp_path, port)
        assert len(failed.value.failure.message) < 500


async def test_a_path_that_nobody_can_ask_for(tmp_path: Path) -> None:
    """It is the release that is unhealthy, and not Slipway."""
    async with serving(good) as (_application, port):
        with pytest.raises(StepFailure, match="URL too long"):
            await until_ready(tmp_path, port, "/" + "x" * 70_000)


@pytest.mark.parametrize("answer", STATUS)
async def test_the_status_counts_from_outside(tmp_path: Path, answer: Answer) -> None:
    """Through the load balancer as well."""
    home = _home(tmp_path)
    async with serving(answer, home.default_certificate) as (application, port), asyncio.timeout(MUCH_LONGER_S):
        assert await Front(port, home.ca / "ca.pem").get(NAME, "/", {}, MUCH_LONGER_S) == 200
        assert f"host: {NAME}:{port}\r\n".encode() in application.asked.lower()
        await eventually(application.is_left, within=MUCH_LONGER_S)


@pytest.mark.parametrize("answer", NO_STATUS)
async def test_a_status_that_does_not_come_from_outside(tmp_path: Path, answer: Answer) -> None:
    """It is given up in time."""
    home = _home(tmp_path)
    async with serving(answer, home.default_certificate) as (_application, port), asyncio.timeout(MUCH_LONGER_S):
        with pytest.raises(TimeoutError):
            await Front(port, home.ca / "ca.pem").get(NAME, "/", {}, TRY_S)


def _home(folder: Path) -> Home:
    home = Home.at(folder)
    home.prepare()
    authority.prepare(home, ())
    return home

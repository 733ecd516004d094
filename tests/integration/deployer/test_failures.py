"""What goes wrong with a release is said so that its owner can act, and the former release goes on answering."""

import subprocess
import time

import pytest

from shared.contracts import commands as c
from shared.contracts import facts as f
from shared.contracts.manifest import HealthCheck
from shared.work import StepFailure
from tests.integration.deployer.rig import MIB, Site, deploy, prepare, roll_back


async def failure_of(here: Site, release: object, former: object) -> StepFailure:
    """How the deployment of a release fails; it is rolled back, and the target must be as it was."""
    before = await here.described()
    second = here.deployment()
    with pytest.raises(StepFailure) as failed:
        await prepare(second, release, former)  # type: ignore[arg-type]
    assert await here.get() == (200, "one")
    await roll_back(second, release, former)  # type: ignore[arg-type]
    assert await here.described() == before
    assert await here.get() == (200, "one")
    return failed.value


@pytest.mark.parametrize("hours_off", [0, -1])
async def test_crash_at_start(here: Site, monkeypatch: pytest.MonkeyPatch, hours_off: int) -> None:
    """A program that ends is reported with its exit code and its last lines, also where the engine's clock is another."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + hours_off * 3600)
    one = here.release("one")
    await deploy(here.deployment(), one)
    two = here.release("two", command=("sh", "-c", "echo connecting; echo no such table >&2; exit 3"))
    failed = await failure_of(here, two, one)
    assert failed.failure.code == "crashed_at_start"
    assert "exit code 3" in failed.failure.message
    assert set(failed.failure.log_tail) == {"connecting", "no such table"}


async def test_out_of_memory(here: Site) -> None:
    """A program that is killed for memory is reported with its limit."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    eat = "sleep 0.3; x=0123456789abcdef; while true; do x=$x$x; done"
    two = here.release("two", command=("sh", "-c", eat), memory=16 * MIB)
    failed = await failure_of(here, two, one)
    assert failed.failure.code == "out_of_memory"
    assert "16 MiB" in failed.failure.message


async def test_wrong_port(here: Site) -> None:
    """A program that listens elsewhere is reported with the port that it listens on."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    serve = "mkdir /tmp/www; echo two > /tmp/www/index.html; exec httpd -f -p 3000 -h /tmp/www"
    two = here.release("two", command=("sh", "-c", serve), health=HealthCheck(http="/", start_period_s=1, interval_s=0.1, retries=1))
    failed = await failure_of(here, two, one)
    assert failed.failure.code == "wrong_port"
    assert "listens on port 3000, not on 8000" in failed.failure.message


async def test_listens_on_localhost_only(here: Site) -> None:
    """A program that listens on the right port only for itself is told apart from one on another port."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    two = here.release(
        "two",
        command=("httpd", "-f", "-p", "127.0.0.1:8000"),
        health=HealthCheck(tcp=True, start_period_s=1, interval_s=0.1, retries=1),
    )
    failed = await failure_of(here, two, one)
    assert failed.failure.code == "wrong_port"
    assert "localhost" in failed.failure.message


async def test_unhealthy(here: Site) -> None:
    """A program that answers with an error is reported with its status."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    two = here.release("two", health=HealthCheck(http="/missing", start_period_s=1, interval_s=0.1, retries=2))
    failed = await failure_of(here, two, one)
    assert failed.failure.code == "unhealthy"
    assert "404" in failed.failure.message


async def test_no_such_program(here: Site) -> None:
    """A command that the image does not have fails with the engine's words."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    # The container's init cannot run it either: it says so in the log.
    failed = await failure_of(here, here.release("two", command=("no-such-program",)), one)
    assert "no-such-program" in failed.failure.message + "".join(failed.failure.log_tail)


async def test_image_missing(here: Site) -> None:
    """An image that is nowhere is named."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    image = "127.0.0.1:1/slipway/gone@sha256:" + "0" * 64
    failed = await failure_of(here, here.release("two", image=image), one)
    assert failed.failure.code == "image_missing"
    assert image in failed.failure.message


async def test_stopped_from_outside(here: Site) -> None:
    """A candidate that somebody stops in mid-deployment is not taken for one that crashed."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    before = await here.described()
    second = here.deployment()
    await prepare(second, two, one)
    subprocess.run(["docker", "stop", "-t", "2", here.target.workloads.container(here.place, two)], check=True, capture_output=True)
    with pytest.raises(StepFailure) as failed:
        await second.do(c.CheckCandidate, "check-container-web", f.CandidateHealthy, release=two, former=one)
    assert failed.value.failure.code == "stopped_from_outside"
    with pytest.raises(StepFailure) as failed:
        await second.do(c.SwitchTraffic, "switch-web", f.TrafficSwitched, release=two, former=one)
    assert failed.value.failure.code == "stopped_from_outside"
    await roll_back(second, two, one)
    assert await here.described() == before


async def test_live_container_stopped_by_hand_runs_again_after_a_roll_back(here: Site) -> None:
    """A former release that somebody stopped or removed in mid-deployment is brought back by the undo of the switch."""
    one, two = here.release("one"), here.release("two")
    await deploy(here.deployment(), one)
    second = here.deployment()
    await prepare(second, two, one)
    await second.do(c.SwitchTraffic, "switch-web", f.TrafficSwitched, release=two, former=one)
    subprocess.run(["docker", "rm", "-f", here.target.workloads.container(here.place, one)], check=True, capture_output=True)
    await roll_back(second, two, one)
    assert await here.get() == (200, "one")


async def test_domain_of_another_service(here: Site) -> None:
    """A name that another service has is refused, and the message says whose it is."""
    one = here.release("one")
    await deploy(here.deployment(), one)
    other = here.release("other", service="shop", hosts=("shop.localhost", here.place.host("web")))
    second = here.deployment()
    with pytest.raises(StepFailure) as failed:
        await second.do(c.AssignDomain, "assign-domain-shop", f.DomainAssigned, release=other)
    assert failed.value.failure.code == "domain_taken"
    assert f"service web of {here.place}" in failed.value.failure.message
    assert set((await here.target.state.describe(here.place)).domains) == {here.place.host("web")}


async def test_secret_of_another_key(here: Site) -> None:
    """A secret that was sealed to another target is named, and its container is not made."""
    from nacl.public import PrivateKey

    from shared.contracts.releases import Sealed
    from shared.sealing import seal

    sealed = Sealed(values={"API_KEY": seal(bytes(PrivateKey.generate().public_key), b"value")})
    with pytest.raises(StepFailure) as failed:
        await prepare(here.deployment(), here.release("one"), None, sealed)
    assert failed.value.failure.code == "secret_unreadable"
    assert "API_KEY" in failed.value.failure.message

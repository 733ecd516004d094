"""No request fails while releases change hands, forwards and backwards."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

from services.deployer.targets.local.records import ServiceRecord
from services.deployer.targets.local.route_folder import RouteFolder
from shared.subprocesses import spawn
from tests.integration.deployer.rig import Site, deploy, prepare, retire, roll_back, switch

_RATE = 200.0
_ROUNDS = 4
_SERVER = """
const server = require('http').createServer((request, response) => setTimeout(() => response.end('%s'), Math.random() * 20))
server.listen(process.env.PORT)
process.on('SIGTERM', () => server.close(() => process.exit(0)))
"""
_SLOW = """
const server = require('http').createServer((request, response) => {
  response.write('%s')
  setTimeout(() => response.end(', at last'), request.url === '/slow' ? 2000 : 0)
})
server.listen(process.env.PORT)
process.on('SIGTERM', () => server.close(() => process.exit(0)))
"""


class Died(BaseException):
    """The worker is dead: nothing catches this."""


def _then_dies(apply: Callable[[RouteFolder, ServiceRecord], None]) -> Callable[[RouteFolder, ServiceRecord], None]:
    def applied(folder: RouteFolder, record: ServiceRecord) -> None:
        apply(folder, record)
        raise Died

    return applied


async def test_switch_and_roll_back_under_load(here: Site, node_image: str) -> None:
    """Releases and roll-backs under two hundred requests a second lose none of them."""
    former = here.release("zero", image=node_image, command=("node", "-e", _SERVER % "zero"), memory=128 * 2**20)
    await deploy(here.deployment(), former)
    settings = here.machine.settings
    load = await spawn(
        sys.executable,
        str(Path(__file__).with_name("load.py")),
        str(settings.https_port),
        here.place.host("web"),
        str(here.machine.home.ca / "ca.pem"),
        str(_RATE),
        env=os.environ,
        stdin=PIPE,
        stderr=STDOUT,
    )
    assert load.stdout is not None
    assert load.stdin is not None
    assert await load.stdout.readline() == b"started\n"
    seconds = []
    for number in range(_ROUNDS):
        release = here.release(f"v{number}", image=node_image, command=("node", "-e", _SERVER % f"v{number}"), memory=128 * 2**20)
        deployment = here.deployment()
        await prepare(deployment, release, former)
        seconds.append(await switch(deployment, release, former))
        if number % 2:
            await roll_back(deployment, release, former)
        else:
            await retire(deployment, release, former)
            former = release
    load.stdin.close()
    *_, said = (await load.stdout.read()).decode().strip().splitlines()
    await load.wait()
    counted = json.loads(said)
    print(counted, seconds)
    assert counted["failed"] == 0, counted
    assert counted["requests"] > 500


@pytest.mark.parametrize("dies", [False, True], ids=["one worker", "a worker dies"])
async def test_request_under_way_when_its_release_is_rolled_back(
    here: Site, node_image: str, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    """A release that took the traffic answers what it was asked before it goes, also where whoever switched back has died right after it."""
    one = here.release("one", image=node_image, command=("node", "-e", _SLOW % "one"), memory=128 * 2**20)
    two = here.release("two", image=node_image, command=("node", "-e", _SLOW % "two"), memory=128 * 2**20)
    await deploy(here.deployment(), one)
    before = await here.described()
    second = here.deployment()
    await prepare(second, two, one)
    await switch(second, two, one)
    async with here.asked(path="/slow") as answer:
        assert answer.status_code == 200
        if dies:
            with monkeypatch.context() as dying:
                dying.setattr(RouteFolder, "apply", _then_dies(RouteFolder.apply))
                with pytest.raises(Died):
                    await roll_back(second, two, one)
        await roll_back(second, two, one)
        assert (await answer.aread()).decode() == "two, at last"
    assert await here.described() == before

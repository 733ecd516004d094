"""The supervisor of a platform that is struck: `python -m tests.faults.strikes.stack`.

It is the real one. Its services reach the bus through addresses that a test may cut (`ADDRESSES`), the clocks of some may be
wrong (`CLOCKS`), and the environment of each is written to run/environments, so that a second replica can be started with it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from embedded import daemon
from embedded.daemon import Stack, main
from embedded.home import write_private
from embedded.services import SERVICES, Service, Wiring

ADDRESSES = "FAULTS_ADDRESSES"
"""Of the bus, by service (JSON)."""
CLOCKS = "FAULTS_CLOCKS"
"""How far a service's clock is off, as libfaketime reads it, by service (JSON)."""
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class TestedWiring(Wiring):
    """The real wiring, with what a test changes."""

    __test__ = False

    def environment(self, service: Service) -> dict[str, str]:
        """As it is wired, over the address of the test."""
        real = super().environment(service)
        address: str | None = json.loads(os.environ.get(ADDRESSES, "{}")).get(service.name)
        made = real | ({"SLIPWAY_NATS_URL": address} if address else {})
        folder = self.home.run / "environments"
        folder.mkdir(exist_ok=True)
        write_private(folder / f"{service.name}.json", json.dumps(made))
        return made


def clocks() -> Mapping[str, str]:
    """The wrong clocks."""
    found: dict[str, str] = json.loads(os.environ.get(CLOCKS, "{}"))
    return found


if __name__ == "__main__":
    vars(daemon)["Wiring"] = TestedWiring
    wrong = clocks()
    main(
        stack=Stack(
            services=tuple(
                replace(service, module="tests.faults.strikes.wrong_clock") if service.name in wrong else service for service in SERVICES
            )
        )
    )

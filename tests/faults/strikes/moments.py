"""When to strike: at a random moment, or when a step's command or answer passes on the bus."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.bus import UNAVAILABLE
from tests.faults.strikes.machine import Machine

STEPS = (
    "authorise", "inspect", "build-web", "push-web", "provision-database", "check-database", "run-job", "deploy-container", "connect-container",
    "expose", "assign-domain", "issue-certificate", "check-container", "switch", "check-endpoint", "retire",
)  # fmt: skip
EDGES = ("cmd", "res")
AT_RANDOM = "after"
"""With this, in words, a moment begins that is no boundary."""
LONGEST_S = 60.0
"""A boundary that does not come by then is not waited for."""
_RANDOM_S = 4.0
"""Later all may have ended where nothing disturbs it."""
_APART = 4
"""So many boundaries lie between the beginnings of two kinds: as many as a kill of a service comes to in 300 strikes of all kinds."""


@dataclass(frozen=True)
class Moment:
    """One moment of a run."""

    after_s: float = 0.0
    step: str | None = None
    edge: str = "cmd"
    """`cmd`: its command is on the bus; `res`: its answer is, which is more than that a worker has accepted it."""

    def __str__(self) -> str:
        if self.step is None:
            return f"{AT_RANDOM} {self.after_s:.1f} s"
        return f"{'command' if self.edge == 'cmd' else 'answer'} of {self.step}"


BOUNDARIES = tuple(Moment(step=step, edge=edge) for step in STEPS for edge in EDGES)


def moment_of(seed: int, place: int, number: int, steps: Sequence[str] = ()) -> Moment:
    """When a kind strikes for the `number`th time (from 0): each second time at a boundary; always, where it has only some `steps`.

    All kinds walk over the boundaries in one order, which comes of the seed. Each begins elsewhere, by its `place` among the kinds, and
    comes to none again before it was at all of them.
    """
    if number % 2 and not steps:
        return Moment(after_s=round(random.Random(f"{seed}/{place}/{number}").uniform(0.0, _RANDOM_S), 1))
    order = [boundary for boundary in BOUNDARIES if not steps or boundary.step in steps]
    random.Random(f"{seed}/boundaries").shuffle(order)
    begin = place * _APART + place * _APART // len(order)
    return order[(begin + (number if steps else number // 2)) % len(order)]


def is_boundary(moment: Moment, subject: str, body: bytes) -> bool:
    """Whether a message on the bus is what the moment waits for."""
    if not subject.startswith(f"slipway.{moment.edge}.") or f"-{moment.step}" not in subject:
        return False
    return moment.edge == "cmd" or b'"outcome":"accepted"' not in body.replace(b" ", b"")


@dataclass
class Watch:
    """Sees everything that passes on the bus, as its administrator, as long as there is one."""

    machine: Machine
    recent: list[Msg] = field(default_factory=list)
    """Answers, the newest last."""
    _waits: tuple[Moment, threading.Event] | None = None

    async def run(self) -> None:
        """For ever; through every outage of the bus."""
        while True:
            with suppress(*UNAVAILABLE, FileNotFoundError):
                client = await self.connect()
                for subject in ("slipway.cmd.>", "slipway.res.>"):
                    await client.subscribe(subject, cb=self._see)
                while client.is_connected:
                    await asyncio.sleep(0.2)
                await client.close()
            await asyncio.sleep(0.2)

    async def connect(self) -> Client:
        """A connection of the administrator's."""

        async def quiet(_: Exception) -> None: ...

        url, user, password = self.machine.bus
        return await nats.connect(url, user=user, password=password, allow_reconnect=False, connect_timeout=2, error_cb=quiet)

    async def _see(self, message: Msg) -> None:
        if message.subject.startswith("slipway.res."):
            self.recent = [*self.recent[-200:], message]
        if self._waits is not None:
            moment, come = self._waits
            if is_boundary(moment, message.subject, message.data):
                come.set()

    def wait(self, moment: Moment, over: Callable[[], bool]) -> bool:
        """Returns at that moment; False where the boundary did not come before all was `over`."""
        if moment.step is None:
            time.sleep(moment.after_s)
            return True
        come = threading.Event()
        self._waits = (moment, come)
        try:
            deadline = time.monotonic() + LONGEST_S
            while not (come.wait(0.1) or over() or time.monotonic() > deadline):
                pass
            return come.is_set()
        finally:
            self._waits = None

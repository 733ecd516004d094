"""Processor time by program, while something is measured: a benchmark's figures say little without who had the processor."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil

from tests.stack import NatsServer, PostgresServer


class Programs:
    """Programs by name; what a program starts counts as its own."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids

    @classmethod
    def beside(cls, bus: NatsServer, postgres: PostgresServer, server: int) -> "Programs":
        """A server and the two that it works with."""
        assert bus.process is not None
        postmaster = int((postgres.folder / "data" / "postmaster.pid").read_text().split()[0])
        return cls({"server": server, "postgres": postmaster, "nats": bus.process.pid})

    @contextmanager
    def measured(self) -> Iterator[dict[str, float]]:
        """Yields what is filled at the end: the seconds that each has taken in between."""
        before, taken = self._now(), dict[str, float]()
        yield taken
        taken.update({name: seconds - before[name] for name, seconds in self._now().items()})

    def _now(self) -> dict[str, float]:
        return {name: sum(map(_seconds, _tree(pid))) for name, pid in self._pids.items()}


def _tree(pid: int) -> list[psutil.Process]:
    program = psutil.Process(pid)
    return [program, *program.children(recursive=True)]


def _seconds(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        spent = process.cpu_times()
        return float(spent.user + spent.system)
    return 0.0

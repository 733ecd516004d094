"""What a step logs is sent in order, and kept in bounds: of memory while it waits, and of the stream that all share."""

from itertools import pairwise
from typing import cast

from shared.bus import Bus
from shared.contracts.commands import RunJob
from shared.contracts.logs import LogLines
from shared.contracts.places import Place
from shared.contracts.releases import ContainerSpec, JobSpec
from shared.messages import Message
from shared.work import LINES_AT_ONCE, LOG_BYTES, LOG_LINES, Work
from tests.polling import eventually

COMMAND = RunJob(
    place=Place(organization="main", project="shop", environment="production"),
    target="local",
    timeout_s=60,
    deployment="d1",
    step="run-job-migrate",
    job=JobSpec(name="migrate", service="web", container=ContainerSpec(image="i"), command=("true",)),
)
LONGEST_LINE = 8000


class Sent:
    """A bus that keeps what is published."""

    def __init__(self) -> None:
        self.messages: list[LogLines] = []

    async def publish(self, _subject: str, message: Message) -> None:
        """As `Bus.publish`."""
        assert isinstance(message, LogLines)
        self.messages.append(message)

    @property
    def lines(self) -> list[str]:
        """Of all messages, whose numbers go on from one to the next."""
        assert all(after.first == before.first + len(before.lines) for before, after in pairwise(self.messages))
        return [line for message in self.messages for line in message.lines]


async def logged(*lines: str) -> list[str]:
    """What is sent of it."""
    bus = Sent()
    work = Work(COMMAND, cast("Bus", bus), "local")
    for line in lines:
        work.log(line)
    await work.flush()
    return bus.lines


async def test_lines_are_sent_in_order() -> None:
    """So many in one message, and also those that come later."""
    bus = Sent()
    work = Work(COMMAND, cast("Bus", bus), "local")
    for number in range(LINES_AT_ONCE + 1):
        work.log(f"{number}\n")
    await eventually(lambda: _sent(bus, LINES_AT_ONCE + 1), within=5)
    work.log("after")
    await work.flush()
    assert bus.lines == [*map(str, range(LINES_AT_ONCE + 1)), "after"]
    assert max(len(message.lines) for message in bus.messages) == LINES_AT_ONCE


async def test_a_log_has_a_limit_of_bytes() -> None:
    """As many bytes as the builder's had; a last line says that the rest is left out, once."""
    long = "é" * LONGEST_LINE
    kept = -(-LOG_BYTES // (2 * LONGEST_LINE + 1))
    lines = await logged(*[long] * (kept + 10))
    assert lines[:-1] == [long] * kept
    assert "the rest is left out" in lines[-1]


async def test_a_log_has_a_limit_of_lines() -> None:
    """Short lines take more memory than their bytes."""
    lines = await logged(*["y"] * (LOG_LINES + 10))
    assert lines[:-1] == ["y"] * LOG_LINES
    assert "the rest is left out" in lines[-1]


async def test_what_is_no_text_is_sent_all_the_same() -> None:
    """JSON takes no half of a character: what cannot be written is replaced."""
    bus = Sent()
    work = Work(COMMAND, cast("Bus", bus), "local")
    work.log("lib\udcff")
    await work.flush()
    assert bus.messages[0].encode()
    assert bus.lines == ["lib?"]


async def _sent(bus: Sent, count: int) -> bool:
    return len(bus.lines) == count

"""A handler's surroundings without a bus: what is logged is kept."""

from typing import cast

from shared.bus import Bus
from shared.contracts.commands import Command
from shared.contracts.logs import LogLines
from shared.messages import Message
from shared.work import Work


class RecordingBus:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def publish(self, _subject: str, message: Message) -> None:
        """As `Bus.publish`."""
        if isinstance(message, LogLines):
            self.lines += message.lines


class RecordedWork(Work):
    """Work whose lines a test can read, in the form that would have been streamed."""

    def __init__(self, command: Command) -> None:
        self.recorder = RecordingBus()
        super().__init__(command, cast("Bus", self.recorder), "local")

    async def lines(self) -> list[str]:
        """Every line so far."""
        await self.flush()
        return self.recorder.lines

"""Signals as something to wait for: SIGTERM and SIGINT ask to stop, SIGCHLD only wakes."""

import os
import select
import signal
from types import FrameType


class Alarm:
    """Takes these signals for the whole process, from when it is made."""

    def __init__(self) -> None:
        self.stopping = False
        self._reading, writing = os.pipe()
        for descriptor in (self._reading, writing):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, self._ring)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _ring(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.stopping = True

    def sleep(self, seconds: float) -> None:
        """Until a signal comes, at most that long."""
        if select.select([self._reading], [], [], max(seconds, 0.0))[0]:
            os.read(self._reading, 1024)

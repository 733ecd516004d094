"""Traces at the end of a process."""

import socket
import threading
import time

import pytest

from shared import telemetry

SPAN = f"00-{'1' * 32}-{'2' * 16}-01"


def test_a_collector_that_hangs_keeps_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections and answers nothing: each of the exports that wait would go on until its own limit."""
    monkeypatch.setattr(telemetry, "EXPORT_S", 0.5)
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        provider = telemetry.configure("test", "test", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for number in range(600):
            telemetry.record(f"span {number}", None, SPAN, time.time_ns(), {})
        since = time.monotonic()
        telemetry.end(provider, 0.3)
        assert time.monotonic() - since < 0.8
        stayed_behind = set(threading.enumerate()) - before
        assert stayed_behind
    telemetry.configure("test", "test", None)
    for thread in stayed_behind:  # it draws from `random` between its tries, which Hypothesis takes amiss where a test of its own runs
        thread.join()

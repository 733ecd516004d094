"""Traces at the end of a process."""

import socket
import time

import pytest

from shared import telemetry

SPAN = f"00-{'1' * 32}-{'2' * 16}-01"


def test_a_collector_that_hangs_keeps_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections and answers nothing: each of the exports that wait would go on until its own limit."""
    monkeypatch.setattr(telemetry, "EXPORT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        provider = telemetry.configure("test", "test", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for number in range(2_000):
            telemetry.record(f"span {number}", None, SPAN, time.time_ns(), {})
        since = time.monotonic()
        telemetry.end(provider, 0.3)
        assert time.monotonic() - since < 1.0
    telemetry.configure("test", "test", None)

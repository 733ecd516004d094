"""Programs that the builder runs."""

import subprocess
import sys

import psutil

from tests.polling import until

_RUNNING = "import asyncio; from services.builder.programs import run; asyncio.run(run('sleep', '60', env={}))"


def test_a_killed_builder_takes_its_programs_along() -> None:
    """Nobody is left to wait for them, nor to end them when their time is over."""
    builder = subprocess.Popen([sys.executable, "-c", _RUNNING])
    try:
        (program,) = until(lambda: [p for p in psutil.Process(builder.pid).children() if p.name() == "sleep"], within=20)
    finally:
        builder.kill()
        builder.wait(10)
    until(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE, within=10, what=str(program))

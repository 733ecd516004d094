"""Logs as an operator reads them. Each test writes them in a process of its own: they are set up once a process."""

import json
import subprocess
import sys
from pathlib import Path


def lines_of(program: str) -> list[dict[str, object]]:
    """What a program writes on standard error, every line of it JSON."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stderr.splitlines()]


SETUP = """
import logging, structlog
from shared import logs
logs.configure("builder", "INFO")
log = structlog.get_logger()
"""


def test_every_line_is_json_whoever_wrote_it() -> None:
    """The service's own lines and those of libraries have the same form; a traceback is one field."""
    own, library = lines_of(
        SETUP
        + "log.info('built', step='build-web')\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.getLogger('asyncio').exception('lost')\n"
    )
    assert list(own)[:5] == ["timestamp", "level", "service", "event", "step"]
    assert (own["service"], own["event"], own["level"]) == ("builder", "built", "info")
    assert (library["service"], library["event"], library["level"], library["logger"]) == ("builder", "lost", "error", "asyncio")
    assert "ZeroDivisionError" in str(library["exception"])


def test_a_line_within_a_span_has_the_traces_id() -> None:
    """So that a log line leads to its trace."""
    header = f"00-{'a' * 32}-{'b' * 16}-01"
    (line,) = lines_of(
        SETUP + f"from shared.telemetry import span\nwith span('work', {{'traceparent': '{header}'}}):\n    log.info('done')\n"
    )
    assert line["trace_id"] == "a" * 32


def test_what_is_tried_again_and_again_is_said_once_but_failures_of_deployments_always() -> None:
    """Pauses while something is away are thinned; what belongs to a deployment, and errors, never are."""
    said = lines_of(
        SETUP + "for _ in range(5):\n    log.warning('relay paused', schema='api', error='refused')\n"
        "    log.warning('BuildFailed', deployment='d', error='x')\n    log.error('dead letter', error='x')\n"
    )
    assert [line["event"] for line in said].count("relay paused") == 1
    assert [line["event"] for line in said].count("BuildFailed") == 5
    assert [line["event"] for line in said].count("dead letter") == 5


def test_a_process_that_dies_says_why_in_its_last_line() -> None:
    """With the traceback inside the line; also where it died before its logs were set up."""
    program = "from shared import process\nasync def main():\n    {}raise RuntimeError('no room')\nprocess.run(main)\n"
    for before in ("", "from shared import logs; logs.configure('api', 'INFO'); "):
        *_, last = lines_of(program.format(before))
        assert last["level"] == "critical"
        assert last["error"] == "RuntimeError: no room"


def test_a_full_disk_costs_log_lines_and_nothing_else() -> None:
    """Whoever logs goes on, a library too."""
    went_on = SETUP + "for _ in range(1000):\n    log.info('built')\n    logging.getLogger('asyncio').error('lost')\nprint('went on')\n"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", went_on], stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert done.stdout == "went on\n"

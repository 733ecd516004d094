"""Reading deliveries: small bodies here, large ones in a program of their own, one at a time.

The JSON reader holds the interpreter until it is done, and makes many times as much of a body as it has bytes.
"""

import asyncio
import json
import pickle
import sys
from pathlib import Path
from subprocess import PIPE

import structlog

from services.webhooks.domain import Origin
from services.webhooks.forges import FORGES
from services.webhooks.forges.document import Headers, Unreadable
from services.webhooks.forges.port import Reading
from services.webhooks.request_rules import why_ignored
from services.webhooks.requests import SMALL, busy
from shared.subprocesses import spawn

log = structlog.get_logger()

PATIENCE_S = 6.0
"""How long a large one may take, waiting for its turn included: forges wait ten seconds for their answer."""
REFS_MOST = 5000
"""Refs of one delivery. Git knows no bound, and what is written of each takes a tenth of a millisecond of everybody's time."""
_ROOT = Path(__file__).resolve().parents[2]


class Reader:
    """Reads deliveries; nothing is left of the program that read a large one."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)

    async def read(self, forge: str, headers: Headers, body: bytes, patience_s: float = PATIENCE_S) -> Reading:
        """As the forge's `read`; raises `Unreadable`, and a 503 problem where it cannot be read in time."""
        if len(body) <= SMALL:  # What forges send of that size is read within ten milliseconds.
            return FORGES[forge]().read(headers, body)
        try:
            async with asyncio.timeout(patience_s), self._free:
                return await _read_apart(forge, headers, body)
        except (TimeoutError, OSError) as error:
            log.warning("delivery not read", size=len(body), reason=str(error) or type(error).__name__)
            raise busy("The delivery could not be read.") from None


def why_nothing(reading: Reading, origin: Origin) -> str:
    """Why what was read leads to no change, whatever is known; empty: it may."""
    if len(reading.pushes) > REFS_MOST:
        return f"it tells of {len(reading.pushes)} refs, more than are taken at once: the sweep finds those that an environment follows"
    return reading.ignored or (why_ignored(reading.request, origin) if reading.request else "")


async def _read_apart(forge: str, headers: Headers, body: bytes) -> Reading:
    program = await spawn(sys.executable, "-P", "-m", "services.webhooks.forges.apart", forge, env={"PYTHONPATH": str(_ROOT)}, stdin=PIPE)
    try:
        out, said = await program.communicate(json.dumps(dict(headers)).encode() + b"\n", body)
    finally:
        program.kill()
        program.close()
    if program.returncode:
        raise OSError(f"the program that reads ended with {program.returncode}: {said[-500:].decode('utf-8', 'replace')}")
    found = pickle.loads(out)  # noqa: S301 -- our own program wrote it
    if isinstance(found, Reading):
        return found
    raise Unreadable(str(found))

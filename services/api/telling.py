"""What operators see of api: its metrics."""

import math
from contextlib import suppress

from prometheus_client import Gauge

from services.api.store import letters
from shared.postgres import UNAVAILABLE, Pool
from shared.relay import MEASURE_S

WAITING = Gauge("slipway_dead_letters_waiting", "Dead letters that were neither sent again nor dropped")


async def measure_letters(pool: Pool) -> None:
    """Sets the gauge, to NaN where the database does not say."""
    found = math.nan
    with suppress(*UNAVAILABLE):
        found = await letters.waiting(pool, MEASURE_S)
    WAITING.set(found)

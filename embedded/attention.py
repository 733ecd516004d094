"""What a person should see to, read from the metrics of the control plane's processes: for those who have no Prometheus (docs/alerts.yml)."""

import http.client
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

OUTBOX_LAG_S = 60.0
"""Messages that wait longer to be published are told of; usually they wait for milliseconds."""


@dataclass(frozen=True)
class Attention:
    """One thing, and what to do about it."""

    what: str
    remedy: str


def attention(ports: Mapping[str, int]) -> tuple[Attention, ...]:
    """Asks every process at its health port; one that does not answer within a second tells nothing."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        texts = list(pool.map(_metrics, ports.values()))
    return tuple(seen_to(sample for text in texts for family in text_string_to_metric_families(text) for sample in family.samples))


def seen_to(samples: Iterator[Sample]) -> Iterator[Attention]:
    """What these samples ask for. Values that nobody knows (NaN) ask for nothing."""
    for sample in samples:
        match sample.name, sample.labels, sample.value:
            case "slipway_deployments_live", {"state": "stuck"}, count if count > 0:
                yield Attention(
                    f"{_many(count, 'deployment is', 'deployments are')} stuck; the environment stays locked",
                    "slipway explain ID, mend the cause, then: slipway retry ID, or slipway accept ID",
                )
            case "slipway_deployments_put_off", _, count if count > 0:
                yield Attention(
                    f"{_many(count, 'deployment', 'deployments')} could not be read or moved on; tried again all the time",
                    "the coordinator's log says why; what a newer version wrote goes on when that one runs",
                )
            case "slipway_dead_letters_waiting", _, count if count > 0:
                yield Attention(f"{_many(count, 'message was', 'messages were')} given up", "slipway deadletters")
            case "slipway_outbox_oldest_unsent_age_seconds", {"schema": schema}, age if age > OUTBOX_LAG_S:
                yield Attention(f"{schema}: messages have waited for {age:.0f} s to be published", "is NATS there? slipway status, logs/")


def _many(count: float, one: str, more: str) -> str:
    return f"{count:.0f} {one if count == 1 else more}"


def _metrics(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == http.client.OK else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()

"""The metrics of every service, read from the code that keeps them; written to docs/metrics.md by `make docs`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

from services.api import telling as api_telling
from services.builder import admission, building
from services.coordinator import telling
from services.notifier import sender
from services.webhooks import intake, judging
from shared import telemetry

TARGET = Path(__file__).parent / "metrics.md"
_MODULES: tuple[tuple[str, ModuleType], ...] = (
    ("every service", telemetry),
    ("webhooks", intake),
    ("webhooks", judging),
    ("coordinator", telling),
    ("builder", admission),
    ("builder", building),
    ("notifier", sender),
    ("api", api_telling),
)
_HEAD = """# Metrics

Each service tells its metrics in Prometheus' text format at `/metrics` of its health port (`run/ports.json` under `$SLIPWAY_HOME`),
api at the front door too. Besides these there are the Python client's own (`process_*`, `python_*`). Gauges that are asked of the
database are NaN while it does not answer. Written by `make docs`.

| metric | type | labels | told by | meaning |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Documented:
    """One metric as it is published."""

    name: str
    kind: str
    labels: tuple[str, ...]
    service: str
    meaning: str


def documented() -> Iterator[Documented]:
    """All of them, in the order of the document."""
    for service, module in _MODULES:
        for metric in vars(module).values():
            if isinstance(metric, MetricWrapperBase):
                (family,) = metric.describe()
                name = f"{family.name}_total" if family.type == "counter" else family.name
                yield Documented(name, family.type, tuple(metric._labelnames), service, family.documentation)  # noqa: SLF001 -- the client tells them nowhere else


def document() -> str:
    """The document as it should be now."""
    rows = (
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels) or '—'} | {metric.service} | {metric.meaning} |"
        for metric in documented()
    )
    return _HEAD + "\n".join(rows) + "\n"

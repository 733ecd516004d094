"""The alert rules, held against the metrics that exist."""

import re
from pathlib import Path
from typing import Any

import yaml

from docs import metrics
from embedded.attention import OUTBOX_LAG_S
from services.coordinator.saga import DeploymentState
from services.notifier.providers.contract import Outcome as Notified
from services.webhooks.requests import busy
from shared.contracts.answers import Outcome
from shared.contracts.steps import Pool

FILE = Path(metrics.__file__).with_name("alerts.yml")
_FOREIGN = {"up": {"job", "instance"}}
"""Metrics of Prometheus' own."""


def rules() -> list[dict[str, Any]]:
    """Every rule of the file."""
    found: list[dict[str, Any]] = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
    return found


def known() -> dict[str, set[str]]:
    """Each metric that is published (of a histogram its parts), with its labels."""
    names: dict[str, set[str]] = dict(_FOREIGN)
    for metric in metrics.documented():
        parts = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        names |= {f"{metric.name}{part}": set(metric.labels) | ({"le"} if part == "_bucket" else set()) for part in parts}
    return names


def test_every_alert_asks_for_what_is_measured() -> None:
    """Each name is a metric of docs/metrics.md, and each label that is matched, grouped by or shown is one of it."""
    metric_names = known()
    for rule in rules():
        asked = set(re.findall(r"\b(slipway_\w+|up)\b", rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= metric_names.keys(), rule["alert"]
        labels = set.union(*(metric_names[name] for name in asked))
        matched = {label for group in re.findall(r"\{(.*?)\}", rule["expr"]) for label in re.findall(r"(\w+)\s*[!=]", group)}
        grouped = {label.strip() for group in re.findall(r"by \((.*?)\)", rule["expr"]) for label in group.split(",")}
        shown = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert matched | grouped | shown <= labels, rule["alert"]


def test_every_alert_says_what_to_do() -> None:
    """A name of its own, a severity, one line for the page and one for whoever is woken; brackets are in pairs."""
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert rule["alert"].startswith("Slipway")
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}
        for left, right in ("()", "{}", "[]"):
            assert rule["expr"].count(left) == rule["expr"].count(right)


def test_what_a_person_must_see_is_there() -> None:
    """Stuck deployments, such as cannot be moved, dead letters and outbox lag; the last from the same age on as in `slipway status`."""
    text = "\n".join(rule["expr"] for rule in rules())
    assert 'slipway_deployments_live{state="stuck"}' in text
    assert {"slipway_deployments_put_off", "slipway_dead_letters_waiting"} <= set(re.findall(r"slipway_\w+", text))
    assert f"slipway_outbox_oldest_unsent_age_seconds) > {OUTBOX_LAG_S:g}" in text


def test_values_of_labels_are_such_as_are_published() -> None:
    """States, outcomes and pools that an expression names exist."""
    refused = busy("").type.replace("-", "_")
    values = {str(value) for kind in (DeploymentState, Notified, Outcome, Pool) for value in kind} | {"slipway", refused}
    for rule in rules():
        for matched in re.findall(r'[=~]"(.*?)"', rule["expr"]):
            assert set(re.findall(r"[a-z_]+", matched)) <= values, rule["alert"]

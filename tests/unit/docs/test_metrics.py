"""The published list of metrics."""

from docs import metrics


def test_the_list_of_metrics_is_current() -> None:
    """It is what `make docs` would write now."""
    assert metrics.TARGET.read_text() == metrics.document(), "run `make docs`"


def test_names_follow_prometheus_conventions() -> None:
    """Counters end with `_total`, times are seconds, and everything has our prefix."""
    for metric in metrics.documented():
        assert metric.name.startswith("slipway_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.kind != "histogram" or metric.name.endswith("_seconds")

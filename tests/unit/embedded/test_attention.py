"""What `slipway status` tells of without Prometheus."""

from prometheus_client.parser import text_string_to_metric_families

from embedded.attention import seen_to

EXPOSED = """
# TYPE slipway_deployments_live gauge
slipway_deployments_live{{state="stuck"}} {stuck}
slipway_deployments_live{{state="running"}} 4
# TYPE slipway_deployments_put_off gauge
slipway_deployments_put_off {put_off}
# TYPE slipway_dead_letters_waiting gauge
slipway_dead_letters_waiting {letters}
# TYPE slipway_outbox_oldest_unsent_age_seconds gauge
slipway_outbox_oldest_unsent_age_seconds{{schema="coordinator"}} {age}
"""


def told(**values: str) -> list[str]:
    """What is said of these values."""
    families = text_string_to_metric_families(EXPOSED.format(**values))
    return [found.what for found in seen_to(sample for family in families for sample in family.samples)]


def test_what_waits_for_a_person_is_told() -> None:
    """Stuck deployments, those that cannot be moved, dead letters, and messages that are not published."""
    assert told(stuck="1", put_off="1", letters="2", age="61.5") == [
        "1 deployment is stuck; the environment stays locked",
        "1 deployment could not be read or moved on; tried again all the time",
        "2 messages were given up",
        "coordinator: messages have waited for 62 s to be published",
    ]


def test_nothing_is_told_where_nothing_waits_or_nobody_knows() -> None:
    """Zero and NaN are no reason to wake anybody."""
    assert told(stuck="0", put_off="0", letters="0", age="59") == []
    assert told(stuck="NaN", put_off="NaN", letters="NaN", age="NaN") == []

"""Which channels hear of an event."""

import pytest

from services.notifier.matching import Listener, hears


def _hears(listener: Listener, name: str, organization: str = "main", project: str | None = "todo") -> bool:
    return hears(listener, organization, project, name, ("DeploymentStarted",))


@pytest.mark.parametrize(
    ("events", "name", "expected"),
    [
        ((), "DeploymentRolledBack", True),
        ((), "DeploymentStarted", False),
        ((), "MessageGivenUp", True),
        (("deployment.*",), "DeploymentStarted", True),
        (("*.failed",), "BuildFailed", True),
        (("image.built", "traffic.switched"), "TrafficSwitched", True),
        (("image.built",), "TrafficSwitched", False),
        (("*.*",), "CatalogueChanged", True),
        (("*.*", "notification.attempted"), "NotificationAttempted", False),
    ],
)
def test_patterns_decide(events: tuple[str, ...], name: str, expected: bool) -> None:
    """Without patterns the ends of deployments and dead letters are heard; attempts to tell are never told."""
    assert _hears(Listener("main", "c", "", "webhook", events), name) is expected


def test_a_channel_hears_of_its_own_organization_and_project() -> None:
    """A channel of one project hears nothing of another, nor of what belongs to none."""
    everything = Listener("main", "c", "", "webhook", ("*.*",))
    one = Listener("main", "c", "todo", "webhook", ("*.*",))
    assert _hears(everything, "ImageBuilt", project="blog")
    assert not _hears(everything, "ImageBuilt", organization="other")
    assert _hears(one, "ImageBuilt")
    assert not _hears(one, "ImageBuilt", project="blog")
    assert not _hears(one, "CatalogueChanged", project=None)


def test_a_forge_hears_of_what_it_can_show() -> None:
    """Its events are ours to choose, not the channel's."""
    forge = Listener("main", "c", "", "forge", ("*.*",))
    assert _hears(forge, "DeploymentStarted")
    assert not _hears(forge, "ImageBuilt")

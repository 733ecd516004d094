"""What a service's record becomes, step by step."""

from services.deployer.targets.local.records import ServiceRecord
from tests.unit.deployer.places import PLACE, placed

ONE, TWO, WORKER = placed("one", "d1"), placed("two", "d2"), placed("three", "d2", port=None)
LIVE = ServiceRecord(place=PLACE, service="web", live=ONE, certificate="c1")
WORKS = ServiceRecord(place=PLACE, service="web", live=placed("zero", "d0", port=None))


def test_switch_remembers_the_former_release_until_the_pivot() -> None:
    """The former release and its certificate are kept until the retirement."""
    switched = LIVE.exposed(TWO).model_copy(update={"candidate_certificate": "c2"}).switched_to(TWO)
    assert (switched.live, switched.former, switched.candidate) == (TWO, ONE, None)
    assert switched.certificates() == ("c2", "c1")
    assert switched.containers() == {"c-one", "c-two"}
    retired = switched.retired()
    assert retired == ServiceRecord(place=PLACE, service="web", live=TWO, certificate="c2")


def test_switch_back_is_the_inverse() -> None:
    """Switched and switched back, once or twice, the record is as it was when the release that took the traffic has drained."""
    back = LIVE.exposed(TWO).switched_to(TWO).switched_back(ONE, "d2")
    assert back == LIVE.model_copy(update={"draining": TWO})
    assert back.switched_back(ONE, "d2") == back
    assert back.drained() == LIVE


def test_switch_back_with_another_certificate() -> None:
    """The former release gets its own certificate back."""
    switched = LIVE.model_copy(update={"candidate_certificate": "c2"}).switched_to(TWO)
    assert switched.switched_back(ONE, "d2").drained() == LIVE


def test_a_worker_has_no_certificate() -> None:
    """A service that becomes a worker keeps the one that it had until the pivot; undone, it has it again."""
    switched = LIVE.switched_to(WORKER)
    assert (switched.certificate, switched.former_certificate) == (None, "c1")
    assert switched.retired().certificates() == ()
    assert switched.switched_back(ONE, "d2") == LIVE


def test_switch_back_to_a_worker() -> None:
    """A worker that got names and a certificate has none when that is undone."""
    switched = WORKS.model_copy(update={"candidate_certificate": "c2"}).switched_to(TWO)
    assert switched.certificate == "c2"
    assert switched.switched_back(WORKS.live, "d2").drained() == WORKS


def test_switch_back_of_what_was_not_switched() -> None:
    """A deployment that had not switched changes nothing; one of a new service leaves no record."""
    assert LIVE.exposed(TWO).switched_back(ONE, "d2") == LIVE.exposed(TWO)
    new = ServiceRecord(place=PLACE, service="web").switched_to(TWO)
    assert not new.switched_back(None, "d2").is_empty
    assert new.switched_back(None, "d2").drained().is_empty


def test_switch_twice_is_once() -> None:
    """A command that comes again does not forget the former release."""
    once = LIVE.switched_to(TWO)
    assert once.switched_to(TWO) == once


def test_same_release_again() -> None:
    """A release that is live already has no former one."""
    assert LIVE.switched_to(ONE) == LIVE

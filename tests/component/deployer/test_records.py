"""The target's small store on a real folder."""

import asyncio
from pathlib import Path

import pytest

from services.deployer.files import create_durably, remove_durably, write_durably
from services.deployer.targets.local.records import DomainClaim, Records, ServiceRecord
from shared.contracts.places import Place

PLACE = Place(organization="main", project="shop", environment="production")
OTHER = Place(organization="main", project="shop", environment="staging")


def claim(service: str) -> DomainClaim:
    """A claim of one name."""
    return DomainClaim(host="shop.localhost", place=PLACE, service=service, step_key=f"d-{service}")


async def test_name_goes_to_one_of_many(tmp_path: Path) -> None:
    """Of many that claim a name at once exactly one gets it, and all are told the same."""
    answers = await asyncio.gather(*(asyncio.to_thread(Records(tmp_path).claim, claim(f"s{number}")) for number in range(20)))
    assert len({answer.service for answer in answers}) == 1


def test_empty_record_has_no_file(tmp_path: Path) -> None:
    """A service of which nothing is left leaves nothing."""
    records = Records(tmp_path)
    record = ServiceRecord(place=PLACE, service="web", candidate_certificate="f1")
    records.keep_service(record)
    assert records.service(PLACE, "web") == record
    assert records.places() == {PLACE}
    records.keep_service(record.model_copy(update={"candidate_certificate": None}))
    assert list((tmp_path / "services").iterdir()) == []


def test_one_that_cannot_be_read_is_its_own_environment_s(tmp_path: Path) -> None:
    """The others know their own; whoever would need all of them is told which it is."""
    records = Records(tmp_path)
    kept = ServiceRecord(place=OTHER, service="web", candidate_certificate="f1")
    records.keep_service(kept)
    for folder, name in (("services", f"{PLACE.subject}.web"), ("databases", f"{PLACE.subject}.main"), ("domains", "shop.localhost")):
        (tmp_path / folder / f"{name}.json").write_text('{"place": "nowhere"}')
    (tmp_path / "detached" / "volume.json").write_text("")
    assert records.places() == {OTHER}
    assert list(records.services(OTHER)) == [kept]
    assert [*records.databases(OTHER), *records.claims(OTHER), *records.detached(OTHER)] == []
    for read in (lambda: records.services(PLACE), records.services, lambda: records.databases(PLACE), records.detached):
        with pytest.raises(ValueError, match="cannot be read"):
            list(read())


def test_undone_steps_are_remembered(tmp_path: Path) -> None:
    """The newest five hundred, each once."""
    records = Records(tmp_path)
    for number in range(502):
        records.mark_undone(PLACE, f"step-{number}")
        records.mark_undone(PLACE, f"step-{number}")
    kept = records.undone(PLACE)
    assert len(kept) == 500
    assert "step-501" in kept


def test_files_are_whole_or_not_there(tmp_path: Path) -> None:
    """A file is replaced or created at once, with its mode, and leaves nothing beside it."""
    path = tmp_path / "file"
    assert create_durably(path, "one")
    assert not create_durably(path, "two")
    assert path.read_text() == "one"
    write_durably(path, b"three", 0o640)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("three", 0o640)
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
    assert remove_durably(path)
    assert not remove_durably(path)

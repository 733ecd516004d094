"""The audit log's chain of hashes."""

from dataclasses import replace
from datetime import UTC, datetime

from services.auth.audit import START, Entry, Link, broken_at, chain_hash


def _links(count: int) -> list[Link]:
    links: list[Link] = []
    before = START
    for number in range(1, count + 1):
        at = datetime(2026, 1, number, tzinfo=UTC)
        entry = Entry(f"e{number}", at, "main", number, "ada", "role.grant", "organization/main", allowed=True, rule="r", details="dé")
        before = chain_hash(before, entry)
        links.append(Link(entry, before))
    return links


def test_an_untouched_chain_holds() -> None:
    """Every entry follows from those before it; so does nothing at all."""
    assert broken_at(_links(5)) is None
    assert broken_at([]) is None


def test_changing_leaving_out_or_swapping_shows() -> None:
    """The first entry that does not follow is named."""
    links = _links(5)
    changed = replace(links[2], entry=replace(links[2].entry, allowed=False))
    assert broken_at([*links[:2], changed, *links[3:]]) == 3
    assert broken_at([*links[:2], *links[3:]]) == 3
    assert broken_at([links[1], links[0], *links[2:]]) == 1
    assert broken_at(links[1:]) == 1

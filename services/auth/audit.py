"""The audit log's chain: each entry holds the hash of the one before it, in its organization. Pure.

Whoever keeps the newest hash elsewhere can prove that nothing before it was changed, left out or put in.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

START = bytes(32)
"""What stands before the first entry."""


@dataclass(frozen=True)
class Entry:
    """One change or one decision."""

    id: str
    time: datetime
    organization: str
    number: int
    """Counts up within the organization, from 1, without gaps."""
    subject: str
    action: str
    resource: str
    allowed: bool
    rule: str
    details: str


@dataclass(frozen=True)
class Link:
    """An entry with its place in the chain."""

    entry: Entry
    hash: bytes


def chain_hash(before: bytes, entry: Entry) -> bytes:
    """SHA-256 over the hash before it and the entry's fields as canonical JSON (sorted keys, UTF-8)."""
    fields = {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
    fields["time"] = entry.time.isoformat()
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(before + text.encode()).digest()


def broken_at(links: Iterable[Link]) -> int | None:
    """The number of the first entry that does not follow from those before it; None where the chain holds.

    The links are one organization's, in order, from its first.
    """
    before = START
    for number, link in enumerate(links, 1):
        if link.entry.number != number or chain_hash(before, link.entry) != link.hash:
            return number
        before = link.hash
    return None

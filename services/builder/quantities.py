"""Human forms of durations, sizes and processor shares: `20s`, `256Mi`, `500m`."""

import re

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([A-Za-z]*)", re.ASCII)
_DURATION = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]{1,9})?(?:ms|[smhd]))+", re.ASCII)


class NotAQuantity(ValueError):
    """The text is no such quantity; the message says which forms are."""


def seconds(text: str) -> float:
    """`500ms`, `20s`, `5m`, `1h30m`; a bare number is seconds."""
    plain = _NUMBER.fullmatch(text)
    if plain and not plain[2]:
        return float(plain[1])
    if not _DURATION.fullmatch(text):
        raise NotAQuantity("expected a duration such as `500ms`, `20s` or `5m`")
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in re.findall(r"([0-9.]+)(ms|[smhd])", text))


def size_bytes(text: str) -> int:
    """`256Mi`, `1Gi` (powers of 1024), `500M` (powers of 1000); a bare number is bytes."""
    found = _NUMBER.fullmatch(text)
    if not found or found[2].removesuffix("B") not in _SIZE_UNITS:
        raise NotAQuantity("expected a size such as `256Mi` or `1Gi`")
    return int(float(found[1]) * _SIZE_UNITS[found[2].removesuffix("B")])


def processors(text: str) -> float:
    """`500m` is half a processor; `2` and `0.5` are processors."""
    found = _NUMBER.fullmatch(text)
    if not found or found[2] not in ("", "m"):
        raise NotAQuantity("expected a number of processors such as `500m`, `0.5` or `2`")
    return float(found[1]) * (0.001 if found[2] else 1.0)

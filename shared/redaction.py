"""Takes secret values out of what people and streams get to see, in every form that tools print them."""

import base64
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

HIDDEN = "•••"
SHORTEST = 4
"""Shorter values are not replaced: they would blot out ordinary text."""


class Redactor:
    """Replaces registered values, raw, base64 (any alignment) and URL-encoded; line by line within multi-line values."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms: list[str] = []
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Registers values."""
        forms = set(self._forms)
        for value in values:
            for part in {value, *value.splitlines()}:
                if len(part) >= SHORTEST:
                    forms |= _forms(part)
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without the values."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        return text


def _forms(value: str) -> set[str]:
    raw = value.encode()
    encoded = set()
    for padding in range(3):
        # The same bytes at another offset encode to other characters; the first and last groups mix with neighbours.
        text = base64.b64encode(b"\0" * padding + raw).decode().rstrip("=")
        encoded.add(text[(0, 2, 3)[padding] : len(text) - (1 if (len(raw) + padding) % 3 else 0)])
    urlsafe = {form.replace("+", "-").replace("/", "_") for form in encoded}
    long_enough = {form for form in encoded | urlsafe if len(form) >= 2 * SHORTEST}
    return {value, quote(value, safe=""), quote(value), quote_plus(value)} | long_enough

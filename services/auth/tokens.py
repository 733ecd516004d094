"""Tokens: how they are made, recognised and kept. Pure.

`slw_`, 43 base62 digits of 32 random bytes, and 6 of their CRC-32: secret scanners know one by its prefix, and a
mistyped one is refused without a look at the database. Only the SHA-256 is kept: of 256 random bits no salt or slow
hash is needed, and a lookup by hash leaks nothing by its timing.
"""

import hashlib
import re
import secrets
import zlib

PREFIX = "slw_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_DIGITS = 43
_CHECKSUM_DIGITS = 6
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_SECRET_DIGITS + _CHECKSUM_DIGITS}}}")
_SHOWN = len(PREFIX) + 4


def mint() -> str:
    """A new token."""
    secret = _base62(int.from_bytes(secrets.token_bytes(32)), _SECRET_DIGITS)
    return PREFIX + secret + _checksum(secret)


def is_well_formed(token: str) -> bool:
    """Whether it has the form and the checksum of a token."""
    if not _FORM.fullmatch(token):
        return False
    secret = token[len(PREFIX) : -_CHECKSUM_DIGITS]
    return secrets.compare_digest(token[-_CHECKSUM_DIGITS:], _checksum(secret))


def digest(token: str) -> bytes:
    """What is kept of it."""
    return hashlib.sha256(token.encode()).digest()


def shown(token: str) -> str:
    """The start by which its owner recognises it in a list."""
    return token[:_SHOWN]


def _checksum(secret: str) -> str:
    return _base62(zlib.crc32(secret.encode()), _CHECKSUM_DIGITS)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))

"""Secrets on their way and at rest.

On their way: an X25519 sealed box to the target's public key (libsodium `crypto_box_seal`); only the
target can open it. At rest: AES-256-GCM under a data key that is itself encrypted by the master key,
bound to what the value belongs to (additional data).
"""

import base64
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox


class Unopenable(ValueError):
    """The value was sealed to another key, or was changed."""


def seal(public_key: bytes, value: bytes) -> str:
    """Seals a value to a target; base64."""
    return base64.b64encode(SealedBox(PublicKey(public_key)).encrypt(value)).decode()


def unseal(private_key: bytes, sealed: str) -> bytes:
    """Opens a sealed value; raises `Unopenable`."""
    try:
        return SealedBox(PrivateKey(private_key)).decrypt(base64.b64decode(sealed, validate=True))
    except (CryptoError, ValueError) as error:
        raise Unopenable("the value was sealed to another key, or was changed on its way") from error


def public_key_of(private_key: bytes) -> bytes:
    """The public half of a target's key (32 bytes each)."""
    return bytes(PrivateKey(private_key).public_key)


class Vault:
    """AES-256-GCM at rest. `key` is 32 bytes; `belongs_to` binds a value to its place, so that rows cannot be swapped."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._tagging = hmac.digest(key, b"slipway tag", "sha256")

    @classmethod
    def from_file(cls, path: Path) -> "Vault":
        """The vault of a key file (32 raw bytes)."""
        return cls(path.read_bytes())

    def encrypt(self, value: bytes, belongs_to: str) -> bytes:
        """Nonce and ciphertext."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, value, belongs_to.encode())

    def decrypt(self, stored: bytes, belongs_to: str) -> bytes:
        """Raises `Unopenable` for another key, another place, or a changed value."""
        try:
            return self._cipher.decrypt(stored[:12], stored[12:], belongs_to.encode())
        except InvalidTag as error:
            raise Unopenable(f"the stored value of {belongs_to} cannot be opened with this key") from error

    def tag(self, text: str) -> str:
        """32 hex digits for a text: the same each time, and nobody without the key can tell them (HMAC-SHA256)."""
        return hmac.digest(self._tagging, text.encode(), "sha256").hex()[:32]

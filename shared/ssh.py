"""SSH to forges: keys and their fingerprints, what is known of hosts, and the command by which git gets there. Pure."""

import base64
import binascii
import shlex
from collections.abc import Mapping, Sequence
from hashlib import sha256
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

PORT = 22
PUBLISHED: Mapping[str, tuple[str, ...]] = {
    "github.com": (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
        (
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5"
            "wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
        ),
    ),
    "bitbucket.org": (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO",
        (
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBPIQmuzMBuKdWeF4+a2sjSSpBK0iqitSQ+5BM9KhpexuGt20JpTVM7u5"
            "BDZngncgrqDMbWdxMWWOGtZ9UgbqgZE="
        ),
    ),
}
"""Keys that hosts publish themselves: docs.github.com, "GitHub's SSH key fingerprints"; bitbucket.org/site/ssh."""
_OPTIONS = (
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "ConnectTimeout=15",
)


def generate(comment: str) -> tuple[str, str]:
    """A new Ed25519 key pair: the private half in OpenSSH's form, the public one as a line of `authorized_keys`."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} {comment}"


def fingerprint(key: str) -> str:
    """Of a public key (`ssh-ed25519 AAAA…`), as `ssh-keygen -l` shows it. Raises `ValueError` for what is none."""
    try:
        kind, encoded = key.split()[:2]
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise ValueError(f"{key[:60]!r} is no public key: ssh-ed25519 AAAA…") from None
    if raw[4 : 4 + len(kind)] != kind.encode():
        raise ValueError(f"{key[:60]!r} is no public key of the kind that it says")
    return f"SHA256:{base64.b64encode(sha256(raw).digest()).decode().rstrip('=')}"


def host_and_port(address: str) -> tuple[str, int]:
    """Where `ssh://git@host:port/path` leads."""
    parts = urlsplit(address)
    return (parts.hostname or "").lower(), parts.port or PORT


def known_as(host: str, port: int) -> str:
    """How a host's keys are named (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    return host if port == PORT else f"[{host}]:{port}"


def known_hosts(name: str, keys: Sequence[str]) -> str:
    """A file of known hosts with these keys of one host."""
    return "".join(f"{name} {' '.join(key.split()[:2])}\n" for key in keys)


def command(known: str, key: str = "", *, learn: bool = False) -> str:
    """For GIT_SSH_COMMAND: with the key in this file and no other, to hosts in the file `known` only; with `learn` new ones are added to it."""
    options = (*_OPTIONS, f"StrictHostKeyChecking={'accept-new' if learn else 'yes'}", f"UserKnownHostsFile={known}")
    return shlex.join(["ssh", "-F", "/dev/null", *(word for option in options for word in ("-o", option)), *(("-i", key) if key else ())])


def led_to(ssh: str, address: str, name: str) -> str:
    """The same, to the very address that was checked; the host shows the keys by which `name` is known."""
    return f"{ssh} {shlex.join(['-o', f'HostName={address}', '-o', f'HostKeyAlias={name}'])}"

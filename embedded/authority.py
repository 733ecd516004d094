"""Keys and certificates of one installation: made once, kept, renewed in time.

`tls/`  the control plane's own CA and one certificate a service, for mutual TLS over gRPC;
`ca/`   the local CA for `*.localhost`, from which the deployer issues the certificates of applications;
`keys/` the master key (secrets at rest), the target's key pair (secrets on their way), the clone key.
"""

import datetime as dt
import ipaddress
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from nacl.public import PrivateKey

from embedded.home import Home, write_private

SERVER_NAME = "slipway.internal"
"""The name that `shared.rpc` expects in every server's certificate (not imported: gRPC takes 200 ms)."""

_CA_DAYS = 3650
_LEAF_DAYS = 365
_RENEW_BEFORE = dt.timedelta(days=60)
_CLOCKS_DIFFER = dt.timedelta(days=1)
"""Who reads a certificate may have a clock so far behind."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def issue(self, name: str) -> "Issued":
        """A certificate for one service, which is server and client; valid for what `shared.rpc` asks for, too."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(each) for each in (SERVER_NAME, name, "localhost")]
        alternatives = [*names, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _builder(name, self.certificate.subject, key.public_key(), _LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Issued(certificate, key)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> tuple[str, str]:
        """Certificate and key as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode(), _key_pem(self.key).decode()

    def write(self, certificate: Path, key: Path) -> None:
        """PEM files, the key readable by its owner only."""
        public, private = self.pem()
        write_private(key, private)
        write_private(certificate, public, 0o644)


def prepare(home: Home, services: tuple[str, ...]) -> None:
    """All keys and certificates of a home: what is missing or nears its end is made, the rest is kept. A lost key stays lost."""
    renew(home, services)
    _prepare_keys(home)


def renew(home: Home, services: tuple[str, ...]) -> tuple[str, ...]:
    """The certificates only; answers with the services that have another one now."""
    renewed = []
    control_plane = _authority(home.tls / "ca.pem", home.tls / "ca.key", "Slipway control plane")
    local = _authority(home.ca / "ca.pem", home.ca / "ca.key", f"Slipway local CA ({home.instance})")
    certificate, key = home.default_certificate
    if not _is_good(certificate, key, local):
        local.issue("no-such-application.localhost").write(certificate, key)
    for service in services:
        certificate, key = home.tls / f"{service}.pem", home.tls / f"{service}.key"
        if not _is_good(certificate, key, control_plane):
            control_plane.issue(service).write(certificate, key)
            renewed.append(service)
    return tuple(renewed)


def load(folder: Path) -> Authority:
    """The authority that `prepare` made in `tls/` or `ca/`."""
    return _authority(folder / "ca.pem", folder / "ca.key", "")


def _prepare_keys(home: Home) -> None:
    target, public = home.keys / "target.key", home.keys / "target.pub"
    for key in (home.keys / "master.key", home.keys / "clone.key", target):
        if not key.exists() and key not in home.lost_keys:
            write_private(key, bytes(PrivateKey.generate()) if key == target else secrets.token_bytes(32))
    if target.exists():
        fitting = bytes(PrivateKey(target.read_bytes()).public_key)
        if not public.exists() or public.read_bytes() != fitting:
            write_private(public, fitting, 0o644)


def _authority(certificate: Path, key: Path, name: str) -> Authority:
    """The CA in these files. It is made once: certificates and people's trust stores hang on it."""
    if certificate.exists() and key.exists():
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key} holds no elliptic-curve key")
        return Authority(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)
    fresh = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = (
        _builder(name, subject, fresh.public_key(), _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .sign(fresh, hashes.SHA256())
    )
    Issued(signed, fresh).write(certificate, key)
    return Authority(signed, fresh)


_CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _builder(name: str, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _is_good(certificate: Path, key: Path, authority: Authority) -> bool:
    if not (certificate.exists() and key.exists()):
        return False
    known = x509.load_pem_x509_certificate(certificate.read_bytes())
    try:
        known.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):  # one that was lost had the same name and another key
        return False
    if known.not_valid_after_utc - dt.datetime.now(dt.UTC) < _RENEW_BEFORE:
        return False
    loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
    return loaded.public_key() == known.public_key()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

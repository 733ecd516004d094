"""Certificates from the local authority (`$SLIPWAY_HOME/ca`). Files are named by content, so a renewed one is a new file,
which is what makes the load balancer load it; private keys never leave their folder.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.deployer.fence import Claim
from services.deployer.files import write_durably
from services.deployer.ports import Issued
from services.deployer.targets.local.naming import route_name
from services.deployer.targets.local.records import Records, ServiceRecord
from services.deployer.targets.local.route_folder import RouteFolder
from shared.contracts.releases import Release
from shared.work import StepFailure

_VALID = timedelta(days=90)
_RENEW_BEFORE = timedelta(days=30)
_CLOCKS_DIFFER = timedelta(days=1)
"""Who reads a certificate may have a clock so far behind."""
_SETTLED_S = 60.0
_DOTS = 4
"""In the name of a release's certificate: organization, project, environment, service, fingerprint."""
_SHARED_WITH_GROUP = 0o640
"""The load balancer's container is in the folder's group, which new files inherit."""


@dataclass(frozen=True)
class LocalAuthority:
    """The root's certificate and key, read when they are needed."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """The root's certificate, which people trust."""
        return self.folder / "ca.pem"

    def issue(self, hosts: tuple[str, ...]) -> tuple[bytes, bytes]:
        """A certificate for these names and its key, as PEM."""
        root = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        root_key = serialization.load_pem_private_key((self.folder / "ca.key").read_bytes(), password=None)
        if not isinstance(root_key, ec.EllipticCurvePrivateKey):
            raise StepFailure("authority_unusable", f"{self.folder / 'ca.key'} holds no elliptic-curve key: restore it from a backup")
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Slipway")]))
            .issuer_name(root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCKS_DIFFER)
            .not_valid_after(now + _VALID)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
            .sign(root_key, hashes.SHA256())
        )
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return certificate.public_bytes(serialization.Encoding.PEM), private


@dataclass(frozen=True)
class Certificates:
    """Certificates of services, in the folder that the load balancer reads."""

    folder: Path
    authority: LocalAuthority
    records: Records
    routes: RouteFolder

    async def issue(self, claim: Claim, release: Release) -> Issued | None:
        """A valid certificate for all names of the release is in use; one that serves already and has time left is kept."""
        if not release.hosts or release.port is None:
            return None
        async with claim.lease():
            record = self.records.service(claim.place, release.service)
            for fingerprint in (record.candidate_certificate, record.certificate):
                if fingerprint and (known := self._usable(record, fingerprint, release.hosts)):
                    return Issued(fingerprint, known.not_valid_after_utc.isoformat())
            fingerprint, made = self._make(record, release.hosts)
            self._use(record.model_copy(update={"candidate_certificate": fingerprint}))
        return Issued(fingerprint, made.not_valid_after_utc.isoformat())

    async def withdraw(self, claim: Claim, service: str) -> None:
        """The candidate's certificate is gone; the live release's is as it was."""
        async with claim.lease():
            record = self.records.service(claim.place, service)
            self._use(record.model_copy(update={"candidate_certificate": None}))

    def renew(self, record: ServiceRecord) -> bool:
        """A live certificate that nears its end is made anew; whether it was. The caller holds the lease."""
        live = record.live
        if live is None or record.certificate is None or self._usable(record, record.certificate, live.release.hosts):
            return False
        fingerprint, _ = self._make(record, live.release.hosts)
        self._use(record.model_copy(update={"certificate": fingerprint}))
        return True

    def lacks(self, record: ServiceRecord) -> str | None:
        """What is wrong with the live release's certificate; None where it is good, or where there is none to be."""
        live = record.live
        if live is None or record.certificate is None or self._usable(record, record.certificate, live.release.hosts):
            return None
        path = self._path(record, record.certificate)
        if not path.with_name(path.name + ".pem").exists() or not path.with_name(path.name + ".key").exists():
            return f"of the service {record.service} is gone, or its key"
        return f"of the service {record.service} nears its end, is of another authority, or has other names than the release"

    def strays(self) -> list[Path]:
        """Certificates of services' releases that no record speaks of."""
        records = self.records.services()
        kept = {f"{route_name(record.place, record.service)}.{each}" for record in records for each in record.certificates()}
        return [path for path in sorted(self.folder.glob("*.pem")) if path.stem.count(".") == _DOTS and path.stem not in kept]

    def clear_strays(self) -> list[str]:
        """Removes them and their keys, but for those that were made a moment ago; their names.

        A new one is written just before the record that speaks of it.
        """
        old = [path for path in self.strays() if time.time() - path.stat().st_mtime > _SETTLED_S]
        for path in old:
            path.with_suffix(".key").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        return [path.name for path in old]

    def clear(self, record: ServiceRecord) -> None:
        """Removes files of the service that its record does not speak of."""
        name = route_name(record.place, record.service)
        kept = {f"{name}.{fingerprint}" for fingerprint in record.certificates()}
        for path in self._files(name):
            if path.stem not in kept:
                path.unlink(missing_ok=True)

    def _use(self, record: ServiceRecord) -> None:
        self.records.keep_service(record)
        self.routes.apply(record)
        self.clear(record)

    def _make(self, record: ServiceRecord, hosts: tuple[str, ...]) -> tuple[str, x509.Certificate]:
        certificate, key = self.authority.issue(hosts)
        made = x509.load_pem_x509_certificate(certificate)
        fingerprint = made.fingerprint(hashes.SHA256()).hex()[:32]
        path = self._path(record, fingerprint)
        write_durably(path.with_name(path.name + ".key"), key, _SHARED_WITH_GROUP)
        write_durably(path.with_name(path.name + ".pem"), certificate, _SHARED_WITH_GROUP)
        return fingerprint, made

    def _usable(self, record: ServiceRecord, fingerprint: str, hosts: tuple[str, ...]) -> x509.Certificate | None:
        """The certificate, where it and its key are there, it is of today's authority, has these names and time left."""
        path = self._path(record, fingerprint)
        root = x509.load_pem_x509_certificate(self.authority.certificate.read_bytes())
        try:
            known = x509.load_pem_x509_certificate(path.with_name(path.name + ".pem").read_bytes())
            known.verify_directly_issued_by(root)
        except (FileNotFoundError, ValueError, TypeError, InvalidSignature):  # one that was lost had the same name and another key
            return None
        names = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
        lasts = known.not_valid_after_utc - datetime.now(UTC) > _RENEW_BEFORE
        good = lasts and set(names) == set(hosts) and path.with_name(path.name + ".key").exists()
        return known if good else None

    def _path(self, record: ServiceRecord, fingerprint: str) -> Path:
        return self.folder / f"{route_name(record.place, record.service)}.{fingerprint}"

    def _files(self, name: str) -> Iterator[Path]:
        for suffix in (".pem", ".key"):
            yield from (path for path in self.folder.glob(f"{name}.*{suffix}") if path.stem.count(".") == name.count(".") + 1)

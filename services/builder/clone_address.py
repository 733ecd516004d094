"""Where a repository is cloned from: checked, and submodule addresses resolved against it."""

import posixpath
import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

_PORTS = {"http": 80, "https": 443, "ssh": 22, "git": 9418}
_SCP = re.compile(r"(?:([^@/\s]+)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!//)([^\s]+)")


class UnusableAddress(ValueError):
    """The address cannot be cloned from; the message says why."""


@dataclass(frozen=True)
class CloneAddress:
    """An address that git may be given."""

    url: str

    @classmethod
    def of(cls, url: str, protocols: tuple[str, ...]) -> "CloneAddress":
        """Checks an address; `git@host:path` is ssh. Raises `UnusableAddress`."""
        if found := _SCP.fullmatch(url):
            user, host, path = found.groups()
            url = f"ssh://{user or 'git'}@{host}/{path.lstrip('/')}"
        if any(character.isspace() or not character.isprintable() for character in url):
            raise UnusableAddress("the clone address holds white space or control characters")
        try:
            parts = urlsplit(url)
            host_given = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError as error:
            raise UnusableAddress(f"the clone address is not valid: {error}") from None
        if parts.scheme not in protocols:
            raise UnusableAddress(f"the clone address uses {parts.scheme or 'no protocol'}; allowed are {', '.join(protocols)}")
        if parts.password is not None:
            raise UnusableAddress("the clone address holds a password; give it to the connection instead")
        if parts.scheme != "file" and (not host_given or (parts.hostname or "").startswith("-")):
            raise UnusableAddress("the clone address names no host")
        return cls(url)

    @property
    def host(self) -> str:
        """Scheme, host and port: whom a credential is for."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"

    @property
    def is_http(self) -> bool:
        """Whether git asks by HTTP."""
        return self.url.startswith(("http://", "https://"))

    @property
    def is_ssh(self) -> bool:
        """Whether git asks by ssh."""
        return self.url.startswith("ssh://")

    @property
    def is_file(self) -> bool:
        """Whether it lies on this machine."""
        return self.url.startswith("file:")

    @property
    def hostname(self) -> str:
        """The host's name or address, without port."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port, said or usual."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    def at(self, address: str) -> str:
        """The same with an address in the place of the host's name."""
        parts = urlsplit(self.url)
        literal = f"[{address}]" if ":" in address else address
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}{literal}:{self.port}"))

    def submodule(self, url: str, protocols: tuple[str, ...]) -> "CloneAddress":
        """The address of a submodule: as it stands, or relative to this one (gitsubmodules(7))."""
        if not url.startswith(("./", "../")):
            return CloneAddress.of(url, protocols)
        parts = urlsplit(self.url)
        path = posixpath.normpath(posixpath.join(parts.path.rstrip("/"), url))
        return CloneAddress.of(urlunsplit((parts.scheme, parts.netloc, path, "", "")), protocols)

"""git, run so that it asks nobody, runs no hooks, uses only allowed protocols, and shows a credential to its own host only."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.builder.clone_address import CloneAddress
from services.builder.folders import Folders
from services.builder.programs import Finished, run, started
from services.builder.settings import Settings
from shared import ssh
from shared.forges import credential_config
from shared.outbound import PRIVATE_FORGES, Reach, Refused, Unresolved
from shared.outbound_gate import Gate, outbound_gate
from shared.subprocesses import Program, memory_limit
from shared.work import StepFailure

MEMORY = memory_limit(2 * 2**30)
"""Of one git program, in bytes: it holds all that a server says of its refs, and a server may say so for ever."""
_NEVER = ("-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "safe.directory=*")
_REASONS: tuple[tuple[tuple[str, ...], str, str, bool], ...] = (
    (
        ("file too large", "signal 25", "file size limit"),
        "source_too_large",
        "{repository} is larger than a build may fetch ({limit} MiB)",
        False,
    ),
    (
        ("out of memory",),
        "source_too_large",
        "{repository} has more branches and tags, or larger files, than git can read with {memory} MiB of memory",
        False,
    ),
    (("no space left",), "no_space", "the builder's disk is full; {repository} could not be fetched", True),
    (
        ("host key verification failed", "host identification has changed"),
        "clone_host_unknown",
        (
            "the host of {repository} shows another key than the one that it is known by, and no key is shown to it: compare what it publishes "
            "with `slipway connections key <connection>`; where it has a new one: `slipway connections key <connection> --trust`"
        ),
        False,
    ),
    (
        (
            "authentication failed",
            "could not read username",
            "could not read password",
            "permission denied",
            "error: 403",
            "access denied",
            "is not authorized",
        ),
        "clone_denied",
        "{repository} refused to let the builder in: check the token or key of its connection, and that it may read the repository",
        False,
    ),
    (("' not allowed",), "clone_protocol_refused", "{repository}: {last}", False),
    (
        (
            "repository not found",
            "does not exist",
            "not appear to be a git repository",
            "error: 404",
            "not found",
            "could not be found",
            "cannot find repository",
        ),
        "repository_missing",
        "{repository} was not found where it is cloned from, or the builder may not see it: check its address and its connection",
        False,
    ),
    (
        (
            "could not resolve",
            "connection refused",
            "timed out",
            "failed to connect",
            "connection reset",
            "error: 5",
            "early eof",
            "unreachable",
        ),
        "clone_unreachable",
        "{repository} cannot be reached: {last}",
        True,
    ),
)
"""What git says, and what it means; the first that fits counts."""
_ADDED = (
    "Could not read from remote repository.",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
)
"""What git adds over SSH, whatever the forge has said."""


@dataclass(frozen=True)
class Credential:
    """Who the builder is at a forge: a password or token (as Bearer without a user name), or for ssh a private key. Never shown.

    With `known_hosts` (a file of them) a private key is shown to no other host.
    """

    username: str | None
    secret: str = field(repr=False)
    known_hosts: str = ""


@dataclass(frozen=True)
class Git:
    """git with one configuration; made by `Gits`."""

    env: dict[str, str]
    limit_s: float
    limits: Mapping[str, int]
    gate: Gate | None = None
    """The way out that it takes, where it is given one."""

    async def __call__(self, *arguments: str, given: bytes | None = None, env: dict[str, str] | None = None) -> Finished:
        """Runs `git <arguments>`; raises `StepFailure` when it takes longer than it may, or calls what it may not."""
        async with self._in_time(arguments):
            env = {**self.env, **(env or {})}
            finished = await run("git", *_NEVER, *arguments, env=env, given=given, limits=self.limits)
        if self.gate is None or finished.status == 0:
            return finished
        if self.gate.refused:
            raise _private(self.gate.refused[0], finished.err)
        return replace(finished, err="\n".join((finished.err, *self.gate.failed)))

    @asynccontextmanager
    async def started(self, *arguments: str) -> AsyncIterator[Program]:
        """`git <arguments>` of what lies here, for one who reads its output as it comes; raises `StepFailure` as above."""
        async with self._in_time(arguments), started("git", *_NEVER, *arguments, env=self.env, limits=self.limits) as process:
            yield process

    @asynccontextmanager
    async def _in_time(self, arguments: tuple[str, ...]) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.limit_s):
                yield
        except TimeoutError:
            message = f"git did not end within {self.limit_s:g} s (git {arguments[0]})"
            raise StepFailure("clone_timed_out", message, may_pass=True) from None


@dataclass(frozen=True)
class Gits:
    """Makes gits: a plain one for what lies here, and one with a credential for each remote."""

    settings: Settings
    folders: Folders

    @property
    def plain(self) -> Git:
        """Without any credential."""
        return self._git({"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_SSH_COMMAND": self._ssh})

    @asynccontextmanager
    async def remote(self, address: CloneAddress, credential: Credential | None, *, own: bool) -> AsyncIterator[Git]:
        """With a credential for the host of this address and no other: it lies in a private file as long as the block runs.

        It calls public addresses and those that the admin has named, wherever it is redirected to; the own git remote
        (`own`) wherever it is, without redirects. Raises `StepFailure` where the address may not be called.
        """
        with self._showing(address, credential) as env:
            if own:
                yield self._git({**env, **_settings(("http.followRedirects", "false"))})
                return
            reach = Reach(PRIVATE_FORGES, self.settings.private_forges)
            if self.settings.proxy or not address.is_http:
                yield self._git({**env, **_pinned(address, env, await _checked(reach, address), proxied=bool(self.settings.proxy))})
                return
            async with outbound_gate(reach) as gate:
                yield replace(self._git({**env, **_settings(("http.proxy", gate.proxy))}), gate=gate)

    @contextmanager
    def _showing(self, address: CloneAddress, credential: Credential | None) -> Iterator[dict[str, str]]:
        env = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_SSH_COMMAND": self._ssh}
        if credential is None:
            yield env
            return
        with self.folders.private() as folder:
            if address.is_ssh:
                yield env | {"GIT_SSH_COMMAND": self._ssh_with(credential, folder)}
            else:
                config = folder / "config"
                _write_private(config, credential_config(f"{address.host}/", credential.username, credential.secret))
                yield env | {"GIT_CONFIG_GLOBAL": str(config)}

    @property
    def _ssh(self) -> str:
        """Without a key: hosts are believed the first time, and known from then on."""
        return ssh.command(str(self.settings.state / "known_hosts"), learn=True)

    def _ssh_with(self, credential: Credential, folder: Path) -> str:
        key, known = folder / "key", folder / "known_hosts"
        _write_private(key, credential.secret.rstrip("\n") + "\n")
        if not credential.known_hosts:
            return ssh.command(str(self.settings.state / "known_hosts"), str(key), learn=True)
        _write_private(known, credential.known_hosts)
        return ssh.command(str(known), str(key))

    def _git(self, env: dict[str, str]) -> Git:
        clean = {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "SSH_ASKPASS": "/bin/false",
            "GIT_ALLOW_PROTOCOL": ":".join(self.settings.git_protocols),
            "GIT_OPTIONAL_LOCKS": "0",
            **self.settings.proxy,
            **env,
        }
        return Git(clean, self.settings.source_timeout_s, {"fsize": self.settings.source_limit_bytes, "data": MEMORY})


def unreadable(repository: str, finished: Finished, limit_bytes: int) -> StepFailure:
    """The failure that a git which talked to a remote ended with."""
    said = finished.err.strip()
    low = said.lower()
    for signs, code, message, may_pass in _REASONS:
        if any(sign in low for sign in signs):
            words = message.format(repository=repository, last=_last(said), limit=limit_bytes // 2**20, memory=MEMORY // 2**20)
            return StepFailure(code, words, details=said, may_pass=may_pass)
    return StepFailure("clone_failed", f"{repository} could not be fetched: {_last(said)}", details=said, may_pass=True)


def _private(reason: str, details: str = "") -> StepFailure:
    return StepFailure("clone_address_private", reason, details=details)


async def _checked(reach: Reach, address: CloneAddress) -> str | None:
    """An address of the host that may be called; None where there is none now, which git or the proxy will say. Raises `StepFailure`."""
    if address.is_file:
        return None
    try:
        return (await reach.addresses_of(address.hostname, address.port))[0]
    except Unresolved:
        return None
    except Refused as refused:
        raise _private(str(refused)) from None


def _pinned(address: CloneAddress, env: dict[str, str], checked: str | None, *, proxied: bool) -> dict[str, str]:
    """Leads ssh and git to the very address that was checked; a proxy resolves names itself."""
    if checked is None or (proxied and address.is_http):
        return {}
    if address.is_ssh:
        return {"GIT_SSH_COMMAND": ssh.led_to(env["GIT_SSH_COMMAND"], checked, ssh.known_as(address.hostname, address.port))}
    return _settings((f"url.{address.at(checked)}.insteadOf", address.url))


def _settings(*settings: tuple[str, str]) -> dict[str, str]:
    """Configuration of git in its environment (git-config(1), GIT_CONFIG_COUNT)."""
    numbered = {
        name: value
        for number, (key, content) in enumerate(settings)
        for name, value in ((f"GIT_CONFIG_KEY_{number}", key), (f"GIT_CONFIG_VALUE_{number}", content))
    }
    return {"GIT_CONFIG_COUNT": str(len(settings)), **numbered}


def _last(said: str) -> str:
    lines = [line.removeprefix("fatal: ") for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if line not in _ADDED]
    return next(reversed(telling or lines), "git gave no reason")


def _write_private(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)

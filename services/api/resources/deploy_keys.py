"""The deploy key of a connection: a key pair of its own, with which git clones over SSH and reads this one repository."""

from dataclasses import replace
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from services.api.access import Asking, Caller, of_organization
from services.api.dependencies import Parts, Using
from services.api.forges.deploy_keys import as_url
from services.api.forges.github_app import Use
from services.api.forges.host_keys import keys_of
from services.api.refusals import not_found
from services.api.resources import credentials
from services.api.safe import project_scope
from services.api.store import connections
from services.api.store.connections import StoredConnection
from services.api.transaction import TransactionalRoute, Unit, Within
from shared import ssh
from shared.forge_api import ForgeRepository
from shared.messages import Slug
from shared.problems import Problem

router = APIRouter(prefix="/connections/{organization}/{name}/deploy-key", tags=["connections"], route_class=TransactionalRoute)

_USUAL = ("github", "gitlab", "bitbucket", "gitea")
"""Forges that are cloned from at the same path over HTTPS and SSH, where nothing else is said."""


def _ssh_url(address: str) -> str:
    url = as_url(address)
    parts = urlsplit(url)
    if parts.scheme != "ssh" or not parts.hostname or parts.password is not None or not parts.path.strip("/"):
        raise ValueError("an address over SSH, without a password: ssh://git@host/owner/name.git")
    return url


def _host_key(key: str) -> str:
    ssh.fingerprint(key)
    return key


HostKey = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[a-z0-9@.-]+ [A-Za-z0-9+/=]+$"), AfterValidator(_host_key)]


class WantedKey(BaseModel):
    """What shall be made. Asked again, key and host are those that are there."""

    fresh: bool = Field(default=False, description="Another key pair, where there is one")
    trust: bool = Field(default=False, description="Ask the host for its keys anew, and know it by these")
    install: bool = Field(default=False, description="Put it at the forge, over its API, with the connection's token or app")
    clone_url: Annotated[str, StringConstraints(max_length=2000), AfterValidator(_ssh_url)] | None = Field(
        default=None, description="Where it is cloned from over SSH; the usual place, or what the forge says, where it is missing"
    )
    host_keys: list[HostKey] = Field(default=[], max_length=20, description="ssh-ed25519 AAAA…; asked of the host where there are none")


class DeployKey(BaseModel):
    """The public half, and how the host is known: compare its fingerprints with what the forge publishes."""

    connection: str
    public_key: str
    fingerprint: str
    installed: bool = Field(description="The forge has it, by us; else somebody has to give it to the forge, to read with")
    clone_url: str
    host_fingerprints: dict[str, str] = Field(description="By kind of key")


class RemovedKey(BaseModel):
    """Whether the forge had it, by us."""

    connection: str
    removed: bool


@router.get("")
async def get_deploy_key(organization: Slug, name: Slug, caller: Asking, using: Using) -> DeployKey:
    """The public half of the connection's key."""
    await caller.may("connection.read", of_organization(organization))
    stored = await connections.get(using.pool, organization, name)
    if stored is None or not stored.deploy_key:
        raise not_found("deploy key" if stored else "connection", name)
    return _shown(stored)


@router.post("")
async def make_deploy_key(organization: Slug, name: Slug, caller: Asking, unit: Within, wanted: WantedKey | None = None) -> DeployKey:
    """Makes a key pair, remembers by which keys the host is known, and clones over SSH from now on."""
    parts, wanted = unit.parts, wanted or WantedKey()
    stored = await credentials.permitted(organization, name, caller, parts)
    repository = await _repository(stored, parts) if wanted.install else None
    address = wanted.clone_url or await _ssh_address(stored, repository, parts)
    known = await _known(stored, address, wanted, parts)
    fresh = wanted.fresh or not stored.deploy_key
    private, public = ssh.generate(f"slipway-{name}") if fresh else ("", stored.deploy_key)
    key_id = "" if fresh else stored.deploy_key_id
    if repository is not None and not key_id:
        key_id = await parts.deploy_keys.install(repository, f"Slipway {name}", public)
    changed = replace(stored, deploy_key=public, deploy_key_id=key_id, known_hosts=known, clone_url=address)
    made = await _keep(changed, private, caller, unit)
    if fresh and repository is not None and stored.deploy_key_id:
        await parts.deploy_keys.remove(repository, stored.deploy_key_id)
    return _shown(made)


@router.delete("")
async def remove_deploy_key(organization: Slug, name: Slug, caller: Asking, unit: Within) -> RemovedKey:
    """Takes the key away at the forge, where it is there by us, and forgets it. Over SSH nothing is cloned then."""
    stored = await credentials.permitted(organization, name, caller, unit.parts)
    if not stored.deploy_key:
        return RemovedKey(connection=name, removed=False)
    removed = False
    if stored.deploy_key_id:
        removed = await unit.parts.deploy_keys.remove(await _repository(stored, unit.parts), stored.deploy_key_id)
    await _keep(replace(stored, sealed_deploy_key=None, deploy_key="", deploy_key_id="", known_hosts=""), "", caller, unit)
    return RemovedKey(connection=name, removed=removed)


async def _keep(wanted: StoredConnection, private: str, caller: Caller, unit: Unit) -> StoredConnection:
    scope = project_scope(wanted.organization, wanted.project)
    connection = await unit.begin()
    if private:
        sealed = await unit.parts.safe.seal(connection, scope, connections.deploy_key_of(wanted.name), private)
        wanted = replace(wanted, sealed_deploy_key=sealed)
    stored = await connections.keyed(connection, wanted)
    if stored is None:
        raise not_found("connection", wanted.name)
    await unit.changed(caller, "updated", "connection", stored.name, stored.organization, stored.project, details=_about(stored))
    return stored


def _about(stored: StoredConnection) -> str:
    """For the audit log: which key reads, and by which keys the host is known."""
    if not stored.deploy_key:
        return "no deploy key"
    shown = _shown(stored)
    return f"deploy key {shown.fingerprint} at {shown.clone_url}, known by {', '.join(shown.host_fingerprints.values())}"


def _shown(stored: StoredConnection) -> DeployKey:
    hosts = [line.split(" ", 1)[1] for line in stored.known_hosts.splitlines()]
    return DeployKey(
        connection=stored.name,
        public_key=stored.deploy_key,
        fingerprint=ssh.fingerprint(stored.deploy_key),
        installed=bool(stored.deploy_key_id),
        clone_url=stored.clone_url,
        host_fingerprints={key.split()[0]: ssh.fingerprint(key) for key in hosts},
    )


async def _known(stored: StoredConnection, address: str, wanted: WantedKey, parts: Parts) -> str:
    """By what the host is known: as before, unless it is another or somebody wants it."""
    name = ssh.known_as(*ssh.host_and_port(address))
    if stored.known_hosts.startswith(f"{name} ") and not (wanted.trust or wanted.host_keys):
        return stored.known_hosts
    return ssh.known_hosts(name, wanted.host_keys or await keys_of(parts.forges, address))


async def _ssh_address(stored: StoredConnection, repository: ForgeRepository | None, parts: Parts) -> str:
    if repository is not None:
        return await parts.deploy_keys.ssh_address(repository)
    there = urlsplit(stored.clone_url)
    if there.scheme == "ssh":
        return stored.clone_url
    if stored.forge in _USUAL and there.scheme in ("https", "http"):
        return f"ssh://git@{there.hostname}/{there.path.strip('/').removesuffix('.git')}.git"
    raise Problem(422, "no-ssh", "Where it is cloned from over SSH cannot be told: say it as clone_url ssh://git@host:port/…")


async def _repository(stored: StoredConnection, parts: Parts) -> ForgeRepository:
    if not credentials.has_any(stored) or not stored.api_url:
        detail = f"The connection {stored.name} has no token or app, or no address of an API: its key is put at the forge by hand."
        raise Problem(422, "token-missing", detail)
    return credentials.repository_of(stored, await credentials.token_for(parts, stored, Use.KEYS))

"""Tokens and the audit log through gRPC; and who may call at all."""

import asyncpg
import grpc
import pytest
from grpc import aio

from embedded import authority
from embedded.home import Home
from services.auth.audit import broken_at
from services.auth.credentials import WRITE_USED_S
from services.auth.store import audit
from shared.postgres import database
from shared.proto import auth_pb2 as pb
from shared.proto.auth_pb2_grpc import AuthStub
from shared.rpc import channel
from tests.integration.auth.conftest import RunningAuth
from tests.polling import eventually


async def _refused(auth: RunningAuth, token: str) -> bool:
    try:
        await auth.stub.Authenticate(pb.AuthenticateRequest(token=token))
    except aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAUTHENTICATED
    return False


async def test_a_token_is_its_persons_until_it_is_revoked(auth: RunningAuth) -> None:
    """It authenticates with the person's roles, is shown once, and ends at once."""
    ada = await auth.person("Ada", ("deployer", "project/main/todo"))
    made = await auth.stub.CreateToken(pb.CreateTokenRequest(person=ada, name="laptop", by=ada))
    subject = await auth.stub.Authenticate(pb.AuthenticateRequest(token=made.plain))
    assert (subject.id, subject.name, subject.token_id) == (ada, "Ada", made.token.id)
    assert [(grant.role, grant.resource) for grant in subject.grants] == [("deployer", "project/main/todo")]
    listed = (await auth.stub.ListTokens(pb.ListTokensRequest(person=ada, by=ada))).tokens
    assert [(token.name, token.prefix) for token in listed] == [("laptop", made.plain[:8])]
    assert made.plain not in str(listed)
    await auth.stub.RevokeToken(pb.RevokeTokenRequest(id=made.token.id, by=auth.admin.id))
    assert await _refused(auth, made.plain)


async def test_a_token_expires(auth: RunningAuth) -> None:
    """After its time it authenticates nobody."""
    made = await auth.stub.CreateToken(pb.CreateTokenRequest(person=auth.admin.id, name="ci", expires_in_s=1, by=auth.admin.id))
    assert made.token.expires_at
    assert not await _refused(auth, made.plain)
    await eventually(lambda: _refused(auth, made.plain), within=30)


@pytest.mark.parametrize("token", ["", "slw_", "slw_" + "0" * 49, "\u0000", "ghp_x"])
async def test_an_unknown_token_is_refused(auth: RunningAuth, token: str) -> None:
    """Whatever is wrong with it, the answer is not a failure of ours."""
    with pytest.raises(aio.AioRpcError) as error:
        await auth.stub.Authenticate(pb.AuthenticateRequest(token=token))
    assert error.value.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT)


async def test_nobody_makes_tokens_for_others_without_the_right(auth: RunningAuth) -> None:
    """A token of the admin's would be the admin's power."""
    eve = await auth.person("Eve", ("deployer", "organization/main"))
    with pytest.raises(aio.AioRpcError) as error:
        await auth.stub.CreateToken(pb.CreateTokenRequest(person=auth.admin.id, name="x", by=eve))
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_nobody_sees_tokens_of_others_without_the_right(auth: RunningAuth) -> None:
    """Neither a deployer nor who says nothing of themselves learns which tokens the admin has; the admin sees those of both."""
    eve = await auth.person("Eve", ("deployer", "organization/main"))
    for by, code in ((eve, grpc.StatusCode.PERMISSION_DENIED), ("", grpc.StatusCode.INVALID_ARGUMENT)):
        with pytest.raises(aio.AioRpcError) as error:
            await auth.stub.ListTokens(pb.ListTokensRequest(person=auth.admin.id, by=by))
        assert error.value.code() is code
    await auth.stub.CreateToken(pb.CreateTokenRequest(person=eve, name="x", by=eve))
    listed = await auth.stub.ListTokens(pb.ListTokensRequest(person=eve, by=auth.admin.id))
    assert [token.name for token in listed.tokens] == ["x"]


async def test_last_use_is_written_a_little_later(auth: RunningAuth) -> None:
    """The list shows when a token was used last."""

    async def used() -> bool:
        tokens = (await auth.stub.ListTokens(pb.ListTokensRequest(person=auth.admin.id, by=auth.admin.id))).tokens
        return bool(tokens[0].last_used_at)

    await eventually(used, within=WRITE_USED_S + 5)


async def test_every_change_and_every_denial_is_in_the_log(auth: RunningAuth) -> None:
    """The log pages from the newest entry to the first, and its chain of hashes holds."""
    ada = await auth.person("Ada", ("viewer", "project/main/todo"))
    await auth.stub.Check(pb.CheckRequest(subject=ada, action="secret.reveal", resource="project/main/todo"))
    await auth.stub.Check(pb.CheckRequest(subject=ada, action="project.read", resource="project/main/todo"))
    await auth.stub.Revoke(pb.RoleGrant(person=ada, resource="project/main/todo", by=auth.admin.id))
    seen, after = [], ""
    while True:
        page = await auth.stub.ListAudit(pb.ListAuditRequest(organization="main", after=after, limit=2))
        seen += [(entry.action, entry.allowed) for entry in page.entries]
        if not (after := page.next):
            break
    assert seen == [
        ("role.revoke", True),
        ("secret.reveal", False),
        ("role.grant", True),
        ("person.create", True),
        ("role.grant", True),
    ]
    async with database(auth.dsn, "auth") as pool:
        assert broken_at(await audit.chain(pool, "main")) is None


async def test_a_changed_entry_shows(auth: RunningAuth) -> None:
    """Who edits the table breaks the chain at that entry."""
    await auth.person("Ada", ("viewer", "project/main/todo"))
    connection = await asyncpg.connect(auth.dsn, server_settings={"search_path": "auth"})
    await connection.execute("UPDATE audit SET subject = 'somebody else' WHERE organization = 'main' AND number = 2")
    await connection.close()
    async with database(auth.dsn, "auth") as pool:
        assert broken_at(await audit.chain(pool, "main")) == 2


async def test_another_services_entry_is_kept_once(auth: RunningAuth) -> None:
    """An entry that is told twice is one."""
    entry = pb.AuditEntry(id="x1", subject=auth.admin.id, action="variable.write", resource="project/main/todo", allowed=True, details="A")
    await auth.stub.Audit(entry)
    await auth.stub.Audit(entry)
    assert [each.action for each in await auth.audit()].count("variable.write") == 1


async def test_only_services_of_the_control_plane_may_call(auth: RunningAuth, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A certificate of another authority is refused by the connection, as is none."""
    stranger = Home.at(tmp_path_factory.mktemp("stranger"))
    stranger.prepare()
    authority.prepare(stranger, ("api",))
    (stranger.tls / "ca.pem").write_bytes((auth.tls / "ca.pem").read_bytes())
    async with channel(auth.address, stranger.tls, "api") as opened:
        with pytest.raises(aio.AioRpcError) as error:
            await AuthStub(opened).Authenticate(pb.AuthenticateRequest(token=auth.token), timeout=30)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE

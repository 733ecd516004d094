"""People, accounts and roles through gRPC."""

import grpc
import pytest
from grpc import aio

from shared.proto import auth_pb2 as pb
from tests.integration.auth.conftest import RunningAuth


def _code(error: pytest.ExceptionInfo[aio.AioRpcError]) -> grpc.StatusCode:
    return error.value.code()


async def test_people_have_accounts_and_roles(auth: RunningAuth) -> None:
    """What is linked and granted is listed, with any Unicode in names."""
    zoe = await auth.person("Zoë 🚀", ("deployer", "project/main/todo"))
    await auth.stub.LinkIdentity(pb.Identity(person=zoe, forge="GitHub", login="Zoe", account_id="7", by=auth.admin.id))
    people = {person.id: person for person in (await auth.stub.ListPeople(pb.ListPeopleRequest(organization="main"))).people}
    assert people[zoe].name == "Zoë 🚀"
    assert [(each.forge, each.login, each.account_id) for each in people[zoe].identities] == [("github", "Zoe", "7")]
    assert [(grant.role, grant.resource) for grant in people[zoe].grants] == [("deployer", "project/main/todo")]
    assert people[auth.admin.id].name == "admin"


async def test_people_are_paged(auth: RunningAuth) -> None:
    """Pages follow each other without gap or repetition, and end."""
    made = [await auth.person(f"p{number}") for number in range(5)]
    seen, after = [], ""
    while True:
        page = await auth.stub.ListPeople(pb.ListPeopleRequest(after=after, limit=2))
        seen += [person.id for person in page.people]
        if not (after := page.next):
            break
    assert seen == [auth.admin.id, *made]


async def test_an_account_belongs_to_one_person(auth: RunningAuth) -> None:
    """The same login in other letters is the same account; linked once more it stays as it is, and unlinked it is free again."""
    ada, bob = await auth.person("Ada"), await auth.person("Bob")
    for _ in range(2):
        await auth.stub.LinkIdentity(pb.Identity(person=ada, forge="github", login="octocat", by=auth.admin.id))
    with pytest.raises(aio.AioRpcError) as error:
        await auth.stub.LinkIdentity(pb.Identity(person=bob, forge="github", login="OctoCat", by=auth.admin.id))
    assert _code(error) is grpc.StatusCode.ALREADY_EXISTS
    await auth.stub.UnlinkIdentity(pb.Identity(person=ada, forge="github", login="OCTOCAT", by=auth.admin.id))
    await auth.stub.LinkIdentity(pb.Identity(person=bob, forge="github", login="OctoCat", by=auth.admin.id))


async def test_a_login_that_was_given_up_goes_to_the_account_that_took_it(auth: RunningAuth) -> None:
    """Linked with another id, the login leaves the person whose account was renamed, who keeps their account."""
    ada, bob = await auth.person("Ada"), await auth.person("Bob")
    await auth.stub.LinkIdentity(pb.Identity(person=ada, forge="github", login="cat", account_id="1", by=auth.admin.id))
    await auth.stub.LinkIdentity(pb.Identity(person=bob, forge="github", login="cat", account_id="2", by=auth.admin.id))
    people = {person.id: person for person in (await auth.stub.ListPeople(pb.ListPeopleRequest())).people}
    assert [(each.login, each.account_id) for each in people[ada].identities] == [("", "1")]
    assert [(each.login, each.account_id) for each in people[bob].identities] == [("cat", "2")]


async def test_an_organization_keeps_an_admin(auth: RunningAuth) -> None:
    """The last admin can neither be revoked, demoted nor removed; with a second one they can."""
    me = auth.admin.id
    for attempt in (
        auth.stub.Revoke(pb.RoleGrant(person=me, resource="organization/main", by=me)),
        auth.stub.Grant(pb.RoleGrant(person=me, role="viewer", resource="organization/main", by=me)),
        auth.stub.DeletePerson(pb.DeletePersonRequest(id=me, by=me)),
    ):
        with pytest.raises(aio.AioRpcError) as error:
            await attempt
        assert _code(error) is grpc.StatusCode.FAILED_PRECONDITION
    second = await auth.person("Second", ("admin", "organization/main"))
    await auth.stub.DeletePerson(pb.DeletePersonRequest(id=me, by=second))
    with pytest.raises(aio.AioRpcError) as error:
        await auth.stub.Authenticate(pb.AuthenticateRequest(token=auth.token))
    assert _code(error) is grpc.StatusCode.UNAUTHENTICATED


async def test_who_is_no_admin_changes_nothing_and_is_in_the_log(auth: RunningAuth) -> None:
    """A refused change names its rule, changes nothing, and is audited."""
    eve = await auth.person("Eve", ("deployer", "organization/main"))
    with pytest.raises(aio.AioRpcError) as error:
        await auth.stub.Grant(pb.RoleGrant(person=eve, role="admin", resource="organization/main", by=eve))
    assert _code(error) is grpc.StatusCode.PERMISSION_DENIED
    assert error.value.details() == ("only admin may grant and revoke roles on organization main; Eve is deployer on organization main")
    newest = (await auth.audit())[0]
    assert (newest.subject, newest.action, newest.allowed) == (eve, "role.grant", False)
    decision = await auth.stub.Check(pb.CheckRequest(subject=eve, action="role.grant", resource="organization/main"))
    assert not decision.allowed


async def test_whoever_makes_an_organization_gets_its_first_role(auth: RunningAuth) -> None:
    """The first grant in a new organization is allowed to an admin elsewhere; the next one only to its own admin."""
    ada = await auth.person("Ada", ("viewer", "project/main/todo"))
    await auth.stub.Grant(pb.RoleGrant(person=ada, role="admin", resource="organization/new", by=auth.admin.id))
    with pytest.raises(aio.AioRpcError) as error:
        await auth.stub.Grant(pb.RoleGrant(person=auth.admin.id, role="admin", resource="organization/new", by=auth.admin.id))
    assert _code(error) is grpc.StatusCode.PERMISSION_DENIED
    await auth.stub.Grant(pb.RoleGrant(person=auth.admin.id, role="viewer", resource="organization/new", by=ada))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (pb.RoleGrant(person="nobody", role="viewer", resource="organization/main"), grpc.StatusCode.NOT_FOUND),
        (pb.RoleGrant(person="nobody", role="king", resource="organization/main"), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.RoleGrant(person="nobody", role="viewer", resource="planet/earth"), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.RoleGrant(person="no\0body", role="viewer", resource="organization/main"), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.RoleGrant(person="nobody", role="viewer", resource="organization/main", by="?"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_nonsense_is_refused_with_its_reason(auth: RunningAuth, request_: pb.RoleGrant, code: grpc.StatusCode) -> None:
    """Each refusal has its status and says what was wrong."""
    request = pb.RoleGrant()
    request.CopyFrom(request_)
    request.by = request.by or auth.admin.id
    with pytest.raises(aio.AioRpcError) as error:
        await auth.stub.Grant(request)
    assert _code(error) is code
    assert error.value.details()

"""The table of permissions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.permissions import PERMISSIONS, Grant, Resource, Role, decide, may_manage
from shared.contracts.places import EnvironmentKind

ORGANIZATION = Resource.parse("organization/main")
PROJECT = Resource.parse("project/main/todo")
PRODUCTION = Resource.parse("environment/main/todo/production")
DEVELOPMENT = Resource.parse("environment/main/todo/dev")


def test_a_decision_names_the_grant_and_the_action() -> None:
    """What allowed something is said in words that a person understands."""
    decision = decide("Ada", [Grant(Role.DEPLOYER, PROJECT)], "deployment.create", PRODUCTION, EnvironmentKind.PRODUCTION)
    assert decision.allowed
    assert decision.rule == "deployer on project main/todo may deploy to production"


def test_a_denial_says_what_is_needed_and_what_is_there() -> None:
    """The rule of a denial names the least role, the person and their role."""
    decision = decide("Ada", [Grant(Role.VIEWER, ORGANIZATION)], "secret.reveal", PRODUCTION, EnvironmentKind.PRODUCTION)
    assert not decision.allowed
    assert decision.rule == "only admin may reveal secrets of production; Ada is viewer on organization main"


def test_production_asks_for_more() -> None:
    """A deployer reveals secrets of a development environment, not of production."""
    grants = [Grant(Role.DEPLOYER, ORGANIZATION)]
    assert decide("Ada", grants, "secret.reveal", DEVELOPMENT, EnvironmentKind.DEVELOPMENT).allowed
    assert not decide("Ada", grants, "secret.reveal", PRODUCTION, EnvironmentKind.PRODUCTION).allowed


def test_what_is_not_said_to_be_harmless_counts_as_production() -> None:
    """A resource of unknown kind, and a whole project, need production's role."""
    grants = [Grant(Role.DEPLOYER, ORGANIZATION)]
    assert not decide("Ada", grants, "secret.reveal", DEVELOPMENT, None).allowed
    assert not decide("Ada", grants, "secret.reveal", PROJECT).allowed


def test_a_viewer_may_ask_for_approval_and_a_stranger_may_not() -> None:
    """Only somebody who sees the environment can have a deployment approved."""
    viewer = decide("Ada", [Grant(Role.VIEWER, PROJECT)], "deployment.create", DEVELOPMENT, EnvironmentKind.DEVELOPMENT)
    stranger = decide("Eve", [Grant(Role.ADMIN, Resource.parse("project/main/blog"))], "deployment.create", DEVELOPMENT)
    assert (viewer.allowed, viewer.approval) == (False, True)
    assert (stranger.allowed, stranger.approval) == (False, False)
    assert stranger.rule.endswith("Eve has no role on environment main/todo/dev")


def test_a_role_holds_inside_and_not_beside() -> None:
    """A grant covers what lies inside its resource, by whole slugs."""
    assert PROJECT.covers(PRODUCTION)
    assert not PRODUCTION.covers(PROJECT)
    assert not Resource.parse("project/main/to").covers(PROJECT)
    assert not decide("Ada", [Grant(Role.ADMIN, PRODUCTION)], "project.update", PROJECT).allowed


def test_an_unknown_action_is_nobodys() -> None:
    """What is not in the table is denied, to admins too."""
    assert not decide("Ada", [Grant(Role.ADMIN, ORGANIZATION)], "world.end", ORGANIZATION).allowed


def test_organizations_are_made_by_an_admin_of_any() -> None:
    """A new organization has no grants yet, so the right comes from another one."""
    new = Resource.parse("organization/new")
    assert decide("Ada", [Grant(Role.ADMIN, ORGANIZATION)], "organization.create", new).allowed
    assert not decide("Ada", [Grant(Role.DEPLOYER, ORGANIZATION)], "organization.create", new).allowed


def test_an_admin_of_one_organization_cannot_act_through_somebody_of_another() -> None:
    """To manage a person one has to be admin wherever that person has a role."""
    elsewhere = Grant(Role.VIEWER, Resource.parse("project/other/shop"))
    admin = [Grant(Role.ADMIN, ORGANIZATION)]
    assert may_manage("Ada", admin, "token.create", [Grant(Role.ADMIN, PROJECT)]).allowed
    assert not may_manage("Ada", admin, "token.create", [Grant(Role.ADMIN, PROJECT), elsewhere]).allowed
    assert may_manage("Ada", admin, "token.create", []).allowed
    assert not may_manage("Eve", [Grant(Role.DEPLOYER, ORGANIZATION)], "token.create", []).allowed


@given(st.sampled_from(sorted(PERMISSIONS)), st.sampled_from(list(EnvironmentKind)), st.sampled_from(list(Role)))
def test_a_higher_role_may_all_that_a_lower_one_may(action: str, kind: EnvironmentKind, role: Role) -> None:
    """No row gives a right that is lost by a promotion."""
    allowed = [decide("Ada", [Grant(each, ORGANIZATION)], action, PRODUCTION, kind).allowed for each in Role]
    assert allowed == sorted(allowed)
    assert decide("Ada", [Grant(Role.ADMIN, ORGANIZATION)], action, PRODUCTION, kind).allowed
    assert not decide("Ada", [], action, PRODUCTION, kind).allowed
    assert PERMISSIONS[action].production >= PERMISSIONS[action].least, role


@pytest.mark.parametrize(
    "text", ["", "organization", "organization/", "project/o", "environment/o/p", "target/x", "project/o/p/e", "project//p"]
)
def test_nonsense_is_no_resource(text: str) -> None:
    """A resource is read strictly."""
    with pytest.raises(ValueError, match="no resource"):
        Resource.parse(text)

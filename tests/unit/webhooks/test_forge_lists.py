"""What each forge's API lists is read as its deliveries are."""

from dataclasses import replace
from typing import Any

import pytest

from services.webhooks.domain import ChangeRequest, RequestAction
from services.webhooks.forges import FORGES
from services.webhooks.forges.document import Document, Unreadable
from tests.unit.webhooks.forge_cases import read
from tests.unit.webhooks.forge_lists import OWN, item


def _listed(forge: str, found: dict[str, Any], repository: str) -> ChangeRequest:
    return FORGES[forge]().listed(Document(found), repository)


@pytest.mark.parametrize("fork", [False, True])
@pytest.mark.parametrize("forge", FORGES)
def test_the_list_says_what_a_delivery_says(forge: str, *, fork: bool) -> None:
    """Number, branches, commit, and whether it is a fork's; of whoever opened it. GitLab's list knows a fork by its id alone."""
    told = read(forge, "request-of-fork-opened" if fork else OWN.get(forge, "request-opened")).request
    assert told is not None
    listed = _listed(forge, item(forge, fork=fork), told.repository)
    assert (listed.fork, listed.by.id, listed.by.forge) == (fork, told.by.id, forge)
    source = listed.source_repository if forge == "gitlab" else told.source_repository
    assert listed == replace(told, by=listed.by, action=RequestAction.OPENED, source_repository=source)


@pytest.mark.parametrize("forge", FORGES)
def test_what_is_not_said_is_not_read(forge: str) -> None:
    """No forge's list may make one of a fork look like the repository's own by what it leaves out."""
    whole = item(forge, fork=True)
    for name in whole:
        left = {key: value for key, value in whole.items() if key != name}
        try:
            assert _listed(forge, left, "host/acme/todo").fork, name
        except Unreadable:
            continue


def test_gitea_s_list_names_a_branch_where_there_is_none() -> None:
    """`refs/for/main` under a topic that a branch of the repository is called, too: the label is empty, and it is a fork's."""
    told = item("gitea")
    branchless = told | {"head": told["head"] | {"label": ""}}
    assert _listed("gitea", branchless, "git.example.com/acme/todo").fork

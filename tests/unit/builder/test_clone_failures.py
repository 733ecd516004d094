"""What git says over SSH, in the words of each forge, and what it means to the user."""

import pytest

from services.builder.git import unreadable
from services.builder.programs import Finished

BOILERPLATE = """fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists.
"""


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("ERROR: Repository not found.\n", "repository_missing"),
        (
            "remote: ERROR: The project you were looking for could not be found or you don't have permission to view it.\n",
            "repository_missing",
        ),
        ("conq: repository does not exist.\n", "repository_missing"),
        ("error: \nerror: Cannot find repository: ada/other\nerror: \n", "repository_missing"),
        ("error: Deploy Key: 1:todo is not authorized to read ada/other.\n", "clone_denied"),
        ("git@git.example: Permission denied (publickey).\r\n", "clone_denied"),
        ("@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.\n", "clone_host_unknown"),
        ("ssh: connect to host git.example port 22: Connection refused\n", "clone_unreachable"),
        ("something else\n", "clone_failed"),
    ],
)
def test_each_forge_s_words_over_ssh_are_understood(said: str, code: str) -> None:
    """Whatever git adds to them; only what may pass is tried again."""
    failure = unreadable("git.example/ada/todo", Finished(128, b"", said + BOILERPLATE), 2**20).failure
    assert (failure.code, failure.may_pass) == (code, code in {"clone_unreachable", "clone_failed"})
    assert failure.message.startswith(("git.example/ada/todo ", "the host of git.example/ada/todo "))
    assert "repository exists" not in failure.message
    if failure.may_pass:
        assert failure.message.endswith(said.strip())

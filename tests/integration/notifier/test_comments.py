"""One comment a change request, kept up to date in place, on servers that speak each forge's API."""

from collections.abc import AsyncIterator

import pytest

from services.notifier.providers.forges.api import ForgeApi
from services.notifier.providers.forges.comments import COMMENTS, LONGEST, Comments, hidden
from shared.forge_api import ForgeRepository
from shared.guarded_http import guarded_client
from shared.outbound import Reach
from tests.integration.notifier.comment_servers import CommentServer, comment_server

MARK = "main/todo"


@pytest.fixture
async def comments() -> AsyncIterator[Comments]:
    """As notifier has them."""
    async with guarded_client(Reach("", everywhere=True)) as client:
        yield Comments(ForgeApi(client))


def _repository(server: CommentServer) -> ForgeRepository:
    return ForgeRepository(server.kind, "git.example/acme/todo", server.url, "token")


@pytest.mark.parametrize("kind", COMMENTS)
async def test_a_comment_is_made_once_and_then_changed(comments: Comments, kind: str) -> None:
    """Among others' comments and beside that of another project; said again, nothing is sent."""
    async with comment_server(kind) as server:
        repository = _repository(server)
        server.texts[1], server.versions[1] = "Looks good.", 0
        await comments.put(repository, "17", "main/shop", "another's")
        for text in ("building", "live at https://pr-17.example", "gone"):
            assert await comments.put(repository, "17", MARK, text) in (200, 201)
        assert await comments.put(repository, "17", MARK, "gone") is None
    assert list(server.texts.values()) == ["Looks good.", f"another's\n\n{hidden('main/shop')}", f"gone\n\n{hidden(MARK)}"]


@pytest.mark.parametrize("kind", COMMENTS)
async def test_somebody_elses_comment_with_the_mark_is_no_obstacle(comments: Comments, kind: str) -> None:
    """It stays as it is, and ours is made and found beside it."""
    async with comment_server(kind) as server:
        server.texts[1], server.versions[1] = f"mine {hidden(MARK)}", 0
        server.foreign.add(1)
        for text in ("building", "live"):
            await comments.put(_repository(server), "17", MARK, text)
    assert list(server.texts.values()) == [f"mine {hidden(MARK)}", f"live\n\n{hidden(MARK)}"]


async def test_a_comment_is_no_longer_than_forges_take(comments: Comments) -> None:
    """The mark stays whole."""
    async with comment_server("gitea") as server:
        await comments.put(_repository(server), "17", MARK, "x" * 100_000)
    assert len(server.texts[1]) < LONGEST + 100
    assert server.texts[1].endswith(hidden(MARK))

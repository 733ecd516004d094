"""Several processes of webhooks: each judges what another has taken, by what all of them have stored of its connection."""

import asyncpg

from tests.component.webhooks.conftest import Running, Webhooks, catalogue_changed, undecided
from tests.component.webhooks.deliveries import A, B, deliver, push
from tests.component.webhooks.neighbours import Api
from tests.polling import eventually

RIGHT = "github.com/Codertocat/Hello-World"


async def _asked(api: Api, times: int) -> None:
    async def often() -> bool:
        return api.asked >= times

    await eventually(often)


async def test_what_another_has_taken_is_judged_by_the_connection_as_that_one_knew_it(
    running: Running, api: Api, postgres_dsn: str
) -> None:
    """Whoever judges it knew another repository, and knew the second connection as another project's, and the third not at all."""
    api.connect("gh", repository="github.com/acme/typo")
    api.connect("moved", project="old")
    async with running() as other:
        await _asked(api, 1)
        api.connect("gh", repository=RIGHT, version=2)
        api.connect("moved", repository=RIGHT, version=2)
        api.connect("new", repository=RIGHT)
        async with undecided(postgres_dsn), running() as one:
            await _asked(api, 2)
            for name in ("gh", "moved", "new"):
                assert (await deliver(one.http, push(A), to=name)).status_code == 202
            other.api.away = True
        assert {(await other.coordinator.take()).connection for _ in range(3)} == {"gh", "moved", "new"}


async def test_every_replica_hears_that_the_catalogue_has_changed(running: Running, api: Api) -> None:
    """And each asks again at once."""
    async with running() as one, running() as two:
        await _asked(api, 2)
        api.connect("gh", secrets=("rotated",), version=2)
        await catalogue_changed(one, "updated")
        await _asked(api, 4)
        for replica in (one, two):
            assert (await deliver(replica.http, push(A), secret="rotated")).status_code in {200, 202}


async def test_a_delivery_of_a_connection_that_is_gone_keeps_no_other_waiting(running: Running, api: Api, postgres_dsn: str) -> None:
    """Also while nobody can be asked about it."""
    api.connect("left")
    async with undecided(postgres_dsn), running() as first:
        for name in ("left", "gh"):
            assert (await deliver(first.http, push(A), to=name)).status_code == 202
        await first.pool.execute("DELETE FROM connections WHERE name = 'left'")
    api.away = True
    async with running() as second:
        assert (await second.coordinator.take()).connection == "gh"
        assert await second.pool.fetchval("SELECT reason FROM deliveries WHERE connection = 'left'") == "its connection is gone"


async def test_the_database_may_fail_over_while_connections_are_taken_over(webhooks: Webhooks, api: Api) -> None:
    """They are taken over later, and intake goes on."""
    await _asked(api, 1)
    lock = await asyncpg.connect(webhooks.settings.postgres_dsn.get_secret_value(), server_settings={"search_path": "webhooks"})
    try:
        async with lock.transaction():
            await lock.execute("LOCK TABLE connections IN ACCESS EXCLUSIVE MODE")
            api.connect("new")
            await catalogue_changed(webhooks, "created", "new")

            async def ended() -> int:
                await lock.execute("SELECT pg_stat_clear_snapshot()")  # a transaction looks once, else
                return int(
                    await lock.fetchval(
                        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ 'connections' AND pid <> pg_backend_pid()"
                    )
                )

            await eventually(ended)
    finally:
        await lock.close()

    async def known() -> bool:
        return bool(await webhooks.pool.fetchval("SELECT EXISTS (SELECT FROM connections WHERE name = 'new')"))

    await eventually(known)
    assert (await deliver(webhooks.http, push(B))).status_code == 202

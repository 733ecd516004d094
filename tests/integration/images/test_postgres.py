"""The PostgreSQL images: first start, second start, and starts that were cut short."""

import asyncio
import time

import asyncpg
import pytest

from embedded.images.provision import postgres_images
from tests.apps.engine import Scratch
from tests.polling import eventually

_MAJORS = ("18", "15")
_SECRET = "pä \"w'$"


@pytest.fixture(scope="session")
def images(registry: str) -> dict[str, str]:
    """Reference of each major version."""
    return postgres_images(registry)


@pytest.fixture
def volume(engine: Scratch) -> str:
    """An empty volume."""
    return engine.volume()


def _start(engine: Scratch, image: str, volume: str, **env: str) -> str:
    settings = [part for name, value in env.items() for part in ("--env", f"{name}={value}")]
    options = ("--user", "999:999", "--tmpfs", "/run/postgresql:uid=999,gid=999", "--volume", f"{volume}:/var/lib/postgresql")
    return engine.run(image, options=(*options, *settings))


async def _query(engine: Scratch, container: str, query: str, password: str = _SECRET, database: str = "shop") -> object:
    address = engine.address(container)

    async def ask() -> tuple[object]:
        try:
            connection = await asyncpg.connect(host=address, user="owner", password=password, database=database, timeout=30)
        except (OSError, asyncpg.CannotConnectNowError) as error:
            raise AssertionError(f"{error}; the container says: {engine.logs(container)}") from error
        try:
            return (await connection.fetchval(query),)
        finally:
            await connection.close()

    return (await eventually(ask, within=30))[0]


@pytest.mark.parametrize("major", _MAJORS)
async def test_from_nothing_to_data_that_stay(engine: Scratch, images: dict[str, str], volume: str, major: str) -> None:
    """The first start makes user and database, without any rights; the data are there after a restart."""
    env = {"POSTGRES_PASSWORD": _SECRET, "POSTGRES_USER": "owner", "POSTGRES_DB": "shop"}
    started = time.monotonic()
    first = _start(engine, images[major], volume, **env)
    assert str(await _query(engine, first, "SHOW server_version")).startswith(f"{major}.")
    assert time.monotonic() - started < 60, "hangs"
    await _query(engine, first, "CREATE TABLE kept AS SELECT 42 AS x")
    engine.docker("stop", "--time", "20", first)
    assert engine.wait(first) == 0
    second = _start(engine, images[major], volume, **env)
    assert await _query(engine, second, "SELECT x FROM kept") == 42
    engine.docker("exec", second, "pg_isready", "--quiet")
    assert engine.docker("exec", second, "sh", "-c", "tr '\\0' '\\n' </proc/1/environ").count("POSTGRES_PASSWORD") == 0


@pytest.mark.parametrize("major", _MAJORS)
async def test_sorting_is_the_same_everywhere_and_extensions_are_there(
    engine: Scratch, images: dict[str, str], volume: str, major: str
) -> None:
    """Text is UTF-8 and sorts by code point in every version, and contrib extensions can be made."""
    container = _start(engine, images[major], volume, POSTGRES_PASSWORD=_SECRET, POSTGRES_USER="owner", POSTGRES_DB="shop")
    assert await _query(engine, container, "SELECT string_agg(x, '' ORDER BY x) FROM unnest('{b,Z,ä,a}'::text[]) x") == "Zabä"
    assert await _query(engine, container, "SELECT upper('ä') || current_setting('server_encoding')") == "ÄUTF8"
    await _query(engine, container, "CREATE EXTENSION pg_trgm")
    assert await _query(engine, container, "SELECT '2026-07-01 12:00 Europe/Berlin'::timestamptz AT TIME ZONE 'UTC' = '2026-07-01 10:00'")


async def test_a_first_start_cut_short_is_done_again(engine: Scratch, images: dict[str, str], volume: str) -> None:
    """Killed at any moment of its first start, the next one ends with a whole database."""
    env = {"POSTGRES_PASSWORD": _SECRET, "POSTGRES_USER": "owner", "POSTGRES_DB": "shop"}
    for after in (0.0, 0.15, 0.3, 0.45, 0.6):
        killed = _start(engine, images["18"], volume, **env)
        await asyncio.sleep(after)
        engine.docker("kill", killed)
    assert await _query(engine, _start(engine, images["18"], volume, **env), "SELECT 1") == 1


async def test_the_password_may_come_from_a_file_and_counts(engine: Scratch, images: dict[str, str], volume: str) -> None:
    """With POSTGRES_PASSWORD_FILE the file's content is the password, and no other one opens the door."""
    secret = engine.volume()
    writer = engine.run(images["18"], "sh", "-c", "printf pw >/secret/it", options=("--user", "0", "--volume", f"{secret}:/secret"))
    assert engine.wait(writer) == 0
    container = engine.run(
        images["18"],
        options=(
            *("--volume", f"{secret}:/secret:ro", "--volume", f"{volume}:/var/lib/postgresql"),
            *("--env", "POSTGRES_PASSWORD_FILE=/secret/it", "--env", "POSTGRES_USER=owner"),
        ),
    )
    assert await _query(engine, container, "SELECT current_user", password="pw", database="owner") == "owner"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _query(engine, container, "SELECT 1", password="other", database="owner")


async def test_a_first_start_without_password_says_what_to_set(engine: Scratch, images: dict[str, str], volume: str) -> None:
    """It ends at once with the variables' names, and leaves nothing in the volume."""
    container = _start(engine, images["18"], volume)
    assert engine.wait(container) == 1
    assert "POSTGRES_PASSWORD_FILE or POSTGRES_PASSWORD" in engine.logs(container)


async def test_another_major_version_refuses_the_data(engine: Scratch, images: dict[str, str], volume: str) -> None:
    """A data folder of 15 is not touched by 18, which says which version made it."""
    env = {"POSTGRES_PASSWORD": _SECRET, "POSTGRES_USER": "owner", "POSTGRES_DB": "shop", "PGDATA": "/var/lib/postgresql/data"}
    old = _start(engine, images["15"], volume, **env)
    await _query(engine, old, "SELECT 1")
    engine.docker("stop", old)
    new = _start(engine, images["18"], volume, **env)
    assert engine.wait(new) == 1
    assert "was made by PostgreSQL 15, and this is 18" in engine.logs(new)


async def test_a_volume_that_it_may_not_write_is_named(engine: Scratch, images: dict[str, str], volume: str) -> None:
    """A volume of another owner ends the start with what to do."""
    # An empty volume would get the image's owner when it is mounted.
    owner = engine.run(
        images["18"],
        "sh",
        "-c",
        "touch /data/x && chown 0:0 /data",
        options=("--user", "0", "--cap-add", "CHOWN", "--volume", f"{volume}:/data"),
    )
    assert engine.wait(owner) == 0
    container = _start(engine, images["18"], volume, POSTGRES_PASSWORD="pw")
    assert engine.wait(container) == 1
    assert "mount a volume at /var/lib/postgresql that it owns" in engine.logs(container)

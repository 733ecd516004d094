"""`python -m services.api.rebuild`: makes all pages anew from the archived events."""

import asyncio

from services.api.archive import make_pages
from services.api.settings import Settings
from services.api.store import archive
from shared.postgres import Pool, database


async def rebuild(pool: Pool) -> int:
    """Forgets all pages and makes them from the archive, in one transaction; answers how many deployments there are."""
    number, after = 0, ""
    async with pool.acquire() as connection, connection.transaction():
        await archive.forget_pages(connection)
        while some := await archive.deployments_after(connection, after):
            await make_pages(connection, some)
            number, after = number + len(some), some[-1]
    return number


async def main() -> None:
    """Runs beside a living api: readers see the former pages until the new ones are there."""
    settings = Settings()
    async with database(settings.postgres_dsn.get_secret_value(), "api") as pool:
        print(f"{await rebuild(pool)} deployments")  # noqa: T201 -- a program for a person


if __name__ == "__main__":
    asyncio.run(main())

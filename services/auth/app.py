"""The process of auth: the gRPC service, and the participant that answers AuthorizeDeployment."""

from services.auth.bootstrap import SCHEMA
from services.auth.credentials import Gate
from services.auth.handlers import Authorizer
from services.auth.servicer import Servicer
from services.auth.settings import Settings
from shared.contracts.commands import AuthorizeDeployment
from shared.participant import Participant
from shared.process import Process, run, started
from shared.rpc import server


async def assemble(process: Process, settings: Settings) -> int:
    """Puts the service together and starts it; answers the port that gRPC listens on."""
    pool = await process.database(settings, SCHEMA)
    gate = Gate(pool)
    participant = Participant("auth", settings, process.bus, {AuthorizeDeployment: Authorizer(pool)})
    process.spawn("participant", participant.run())
    process.spawn("last used", gate.run())
    return await process.enter(server(settings.grpc_address, settings.tls_dir, "auth", Servicer(pool, gate).register))


async def main() -> None:
    """Runs until it is told to stop."""
    settings = Settings()
    async with started("auth", settings) as process:
        await assemble(process, settings)
        await process.until_stopped()


if __name__ == "__main__":
    run(main)

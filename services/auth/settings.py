"""What auth reads from its environment (prefix `SLIPWAY_`)."""

from shared.settings import StatefulSettings


class Settings(StatefulSettings):
    """Where auth listens."""

    grpc_address: str = "127.0.0.1:0"
    """Host and port of the gRPC service Auth; port 0 asks for a free one."""

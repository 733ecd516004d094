"""A supervisor of one service that fails at its start."""

from embedded.daemon import Stack, main
from embedded.services import Service

if __name__ == "__main__":
    crashing = Service("builder", "tests.integration.embedded.crashing_service")
    main(stack=Stack(services=(crashing,), bootstrap=None, data_plane=False))

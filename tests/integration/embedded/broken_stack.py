"""A supervisor whose preparation fails."""

from embedded.daemon import Stack, main
from embedded.services import Service

if __name__ == "__main__":
    tiny = Service("auth", "tests.integration.embedded.tiny_service", stateful=True)
    main(stack=Stack(services=(tiny,), bootstrap="no_such_module", data_plane=False))

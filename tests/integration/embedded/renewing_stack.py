"""A supervisor of two small services that looks at their certificates all the time."""

from embedded import renewal
from embedded.daemon import Stack, main
from embedded.services import Service

MODULE = "tests.integration.embedded.tiny_service"

if __name__ == "__main__":
    renewal._LOOK_S = 0.5
    main(stack=Stack(services=(Service("auth", MODULE), Service("builder", MODULE)), bootstrap=None, data_plane=False))

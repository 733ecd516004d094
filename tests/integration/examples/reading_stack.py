"""A supervisor of the services that outside tools read from, without containers."""

from embedded.daemon import Stack, main
from embedded.services import SERVICES

if __name__ == "__main__":
    wanted = ("auth", "api", "notifier")
    main(stack=Stack(services=tuple(service for service in SERVICES if service.name in wanted), data_plane=False))

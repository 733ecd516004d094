"""The supervisor of a whole platform whose participants meet faults: `python -m tests.faults.stack`."""

from dataclasses import replace

from embedded import children
from embedded.daemon import Stack, main
from embedded.services import SERVICES

PARTICIPANTS = ("auth", "builder", "deployer")

if __name__ == "__main__":
    children._LONGEST_DELAY = 0.5  # workers die often here
    tested = tuple(replace(service, module="tests.faults.worker") if service.name in PARTICIPANTS else service for service in SERVICES)
    main(stack=Stack(services=tested))

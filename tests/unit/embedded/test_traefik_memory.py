"""How much memory Traefik may take."""

from embedded.traefik import _memory

MIB = 1024**2


def test_an_eighth_of_the_machine_and_half_a_gigabyte_at_least() -> None:
    """In steps: a machine that boots with a little less has the same container."""
    machines = {512: 512, 2048: 512, 8192: 1024, 8100: 512, 24_000: 2560, 23_900: 2560, 65_536: 8192}
    assert {of: _memory(of * MIB) // MIB for of in machines} == machines

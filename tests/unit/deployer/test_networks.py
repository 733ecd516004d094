"""Networks that are taken already."""

from ipaddress import IPv4Network
from pathlib import Path

from services.deployer.targets.local.networks import host_routes


def test_host_routes(tmp_path: Path) -> None:
    """Routes of the machine count as taken, the default route does not."""
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\n"
        "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"
    )
    assert list(host_routes(table)) == [IPv4Network("192.168.0.0/24")]

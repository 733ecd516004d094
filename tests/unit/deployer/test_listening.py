"""Reading which ports a container listens on."""

from pathlib import Path

from services.deployer.targets.local.listening import Listener, listeners, port_problem

_HEAD = "  sl  local_address rem_address   st tx_queue\n"
_TCP = (
    _HEAD
    + "   0: 00000000:0BB8 00000000:0000 0A 00000000:00000000\n"  # 0.0.0.0:3000 listens
    + "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n"  # 127.0.0.1:8080 listens
    + "   2: 0B00007F:A1B2 00000000:0000 0A 00000000:00000000\n"  # the engine's resolver
    + "   3: 020011AC:0BB8 010011AC:C001 01 00000000:00000000\n"  # a connection
)
_TCP6 = _HEAD + "   0: 00000000000000000000000000000000:0BB9 00000000000000000000000000000000:0000 0A 0:0\n"  # [::]:3001


def test_tables_of_both_families(tmp_path: Path) -> None:
    """Listeners of IPv4 and IPv6 are found; connections and the engine's own resolver are not listeners."""
    net = tmp_path / "7" / "net"
    net.mkdir(parents=True)
    (net / "tcp").write_text(_TCP)
    (net / "tcp6").write_text(_TCP6)
    assert set(listeners(7, tmp_path)) == {Listener("0.0.0.0", 3000), Listener("127.0.0.1", 8080), Listener("::", 3001)}


def test_process_that_is_gone(tmp_path: Path) -> None:
    """Of a process that is gone nothing is known."""
    assert listeners(7, tmp_path) == ()


def test_words() -> None:
    """Another port, only localhost, nothing at all, and all well are told apart."""
    assert port_problem((Listener("::", 8080),), 8080) is None
    assert port_problem((), 8080) is None
    assert "port 3000, 3001, not on 8080" in (port_problem((Listener("::", 3001), Listener("0.0.0.0", 3000)), 8080) or "")
    assert "only for itself" in (port_problem((Listener("127.0.0.1", 8080),), 8080) or "")
    assert "only for itself" in (port_problem((Listener("::1", 8080), Listener("::ffff:127.0.0.1", 8080)), 8080) or "")

"""Ports are chosen once and kept, unless somebody else has them."""

import socket
from pathlib import Path

import pytest

from embedded import ports


def test_chosen_ports_are_kept(tmp_path: Path) -> None:
    """The same names get the same ports again, and new names others."""
    file = tmp_path / "ports.json"
    first = ports.reserve(file, ["a", "b"])
    first.close()
    second = ports.reserve(file, ["a", "b", "c"])
    second.close()
    assert {name: second.ports[name] for name in first.ports} == first.ports
    assert len(set(second.ports.values())) == 3


def test_a_port_that_was_taken_meanwhile_is_chosen_anew(tmp_path: Path) -> None:
    """Unless it is we who hold it."""
    file = tmp_path / "ports.json"
    before = ports.reserve(file, ["a"])
    first = before.ports["a"]
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        foreign.bind(("127.0.0.1", first))
        foreign.listen()
        before.close()
        assert ports.holder(first) is not None
        held, anew = ports.reserve(file, ["a"], held={"a"}), ports.reserve(file, ["a"])
        assert (held.ports["a"], held.sockets) == (first, ())
        assert anew.ports["a"] != first
        anew.close()


def test_platforms_that_start_at_the_same_time_get_ports_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody listens yet: the server that shall comes much later. It may, beside what keeps its port."""
    monkeypatch.setattr(ports, "_RANGE", range(31500, 31600))
    names = [f"server {number}" for number in range(30)]
    one, other = ports.reserve(tmp_path / "one.json", names), ports.reserve(tmp_path / "other.json", names)
    assert not set(one.ports.values()) & set(other.ports.values())
    with socket.create_server(("127.0.0.1", one.ports["server 0"])) as server, socket.create_connection(server.getsockname()):
        pass
    one.close()
    other.close()

"""Ports are chosen once and kept, unless somebody else has them."""

import socket
from pathlib import Path

from embedded import ports


def test_chosen_ports_are_kept(tmp_path: Path) -> None:
    """The same names get the same ports again, and new names others."""
    file = tmp_path / "ports.json"
    first = dict(ports.choose(file, ["a", "b"]))
    second = ports.choose(file, ["a", "b", "c"])
    assert {name: second[name] for name in first} == first
    assert len(set(second.values())) == 3


def test_a_port_that_was_taken_meanwhile_is_chosen_anew(tmp_path: Path) -> None:
    """Unless it is we who hold it."""
    file = tmp_path / "ports.json"
    first = ports.choose(file, ["a"])["a"]
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        foreign.bind(("127.0.0.1", first))
        foreign.listen()
        assert ports.choose(file, ["a"], held={"a"})["a"] == first
        assert ports.choose(file, ["a"])["a"] != first
        assert ports.holder(first) is not None

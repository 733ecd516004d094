"""What a start says: into a pipe that may be full, to a reader that may be gone."""

import os
import select

import pytest

from embedded.progress import Progress, Teller, read_from


@pytest.mark.timeout(20)
def test_a_reader_that_does_not_read_keeps_nobody_waiting() -> None:
    """A stopped terminal: what does not fit is dropped, which the teller learns; what is said once there is room arrives."""
    reading, writing = os.pipe()
    teller = Teller(writing)
    said = [teller.say("builder", "failed", f"{number}: {'why ' * 300}") for number in range(200)]
    with os.fdopen(reading, "rb") as pipe:
        assert said == sorted(said, reverse=True)
        assert said[0]
        assert not said[-1]
        told = read_from(pipe)
        assert [next(told).detail.partition(":")[0] for _ in range(sum(said))] == [str(number) for number in range(sum(said))]
        assert teller.say("slipway", "ready")
        assert next(told).state == "ready"
    assert teller.say("slipway", "ready")
    os.close(writing)


@pytest.mark.parametrize("character", ["e", "ö", "\x1b", "\N{PARTY POPPER}", "\udcf6"])
def test_a_line_fits_into_a_pipe_in_one_piece(character: str) -> None:
    """Whatever it is about: what several processes say does not mix."""
    reading, writing = os.pipe()
    Teller(writing).say("builder", "failed", character * 5000)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        line = pipe.read()
    assert len(line) <= select.PIPE_BUF
    (told,) = read_from([line])
    assert isinstance(told, Progress)
    assert len(told.detail) > 200
    assert set(told.detail) == {character}

"""What the command line reads of files, options and names."""

import pytest
import typer

from cli.failures import Failed
from cli.moments import seconds_of
from cli.places import full_ref
from cli.variables import parsed
from cli.where import slug_of


def test_a_file_of_variables() -> None:
    """Comments, `export`, both kinds of quotes, `=` in values, spaces around; nothing is expanded."""
    text = """
# a comment
export A=1
B = two words   # and why
C='single # quoted'
D="line\\nbreak \\"x\\""
E=a=b==
F=
G=$HOME
Ü_NO=1
"""
    assert parsed(text) == {
        "A": "1",
        "B": "two words",
        "C": "single # quoted",
        "D": 'line\nbreak "x"',
        "E": "a=b==",
        "F": "",
        "G": "$HOME",
        "Ü_NO": "1",
    }


def test_a_line_that_is_no_assignment_is_named() -> None:
    """The line's number and its text."""
    with pytest.raises(Failed, match="Line 2 is no NAME=VALUE: nonsense"):
        parsed("A=1\nnonsense\n")


@pytest.mark.parametrize(("name", "slug"), [("My Shop_2", "my-shop-2"), ("-x-", "x"), ("a" * 60, "a" * 40), ("ToDo.App", "todo-app")])
def test_a_folder_s_name_as_a_slug(name: str, slug: str) -> None:
    """Lower case, dashes, at most 40 characters."""
    assert slug_of(name) == slug


def test_a_name_of_which_no_slug_can_be_made() -> None:
    """It says what to do."""
    with pytest.raises(Failed) as error:
        slug_of("日本")
    assert "--project" in error.value.remedy


def test_times() -> None:
    """Days, hours, minutes, seconds; anything else is wrong usage."""
    assert [seconds_of(text) for text in ("2d", "3h", "5m", "7s")] == [172_800, 10_800, 300, 7]
    with pytest.raises(typer.BadParameter):
        seconds_of("soon")


def test_refs() -> None:
    """A branch's name becomes a full ref; a full one stays."""
    assert (full_ref("main"), full_ref("refs/tags/v*"), full_ref(None)) == ("refs/heads/main", "refs/tags/v*", None)

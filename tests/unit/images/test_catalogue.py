import pytest

from embedded.images.__main__ import main
from embedded.images.catalogue import UnknownImageError, everything, find


def test_a_name_alone_means_the_default_version() -> None:
    """Without a version the first of the recipe is chosen."""
    assert (find("postgres").name, find("postgres").version) == ("postgres", "18")
    assert find("postgres:15").version == "15"


@pytest.mark.parametrize(("wanted", "listed"), [("postgres:16", "18, 15"), ("mysql", "node, postgres")])
def test_what_does_not_exist_lists_what_does(wanted: str, listed: str) -> None:
    """An unknown image or version is refused with those that there are."""
    with pytest.raises(UnknownImageError, match=listed):
        find(wanted)


def test_everything_can_be_found() -> None:
    """Each listed image is one that a recipe makes."""
    assert [f"{find(name).name}:{find(name).version}" for name in everything()] == everything()


def test_an_unknown_image_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """The command line ends with 2 and says which versions there are, before it asks any registry."""
    assert main(["ensure", "--registry", "127.0.0.1:9", "node:21"]) == 2
    assert "22, 24" in capsys.readouterr().err

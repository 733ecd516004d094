"""What containers are made with."""

import pytest

from services.deployer.targets.local.containers import Endpoint, Limits, configuration, user_of, volumes_of


@pytest.mark.parametrize(
    ("wanted", "own", "expected"),
    [
        (None, "", "65532:65532"),
        (None, "root", "65532:65532"),
        (None, "0:0", "65532:65532"),
        (None, "node", "node"),
        (None, "00", "65532:65532"),
        (None, "+0:1000", "65532:65532"),
        (None, "1000:0", "1000:0"),
        ("1000:1000", "root", "1000:1000"),
        ("root", "node", "root"),
        ("0:0", "", "0:0"),
    ],
)
def test_user(wanted: str | None, own: str, expected: str) -> None:
    """The manifest's, root too; else the image's where it is not root however it is written; else nobody."""
    assert user_of(wanted, {"Config": {"User": own}}) == expected


def test_root_has_no_more_rights_than_others() -> None:
    """Who runs as root because the manifest says so has neither capabilities nor a way to get any, and a root file system to read."""
    made = configuration(image="i", labels={}, environment={}, user="0", limits=Limits(1), endpoint=Endpoint("n", "10.0.0.2"))
    assert made["User"] == "0"
    host = made["HostConfig"]
    assert (host["CapDrop"], host["SecurityOpt"], host["ReadonlyRootfs"]) == (["ALL"], ["no-new-privileges"], True)


def test_command_replaces_the_entrypoint() -> None:
    """A command is the whole command; without one the image decides."""
    made = configuration(
        image="i",
        labels={},
        environment={"A": "b=c"},
        user="1",
        limits=Limits(10**8, 0.5),
        endpoint=Endpoint("n", "10.0.0.2"),
        command=("a", "b"),
    )
    assert (made["Entrypoint"], made["Cmd"], made["Env"]) == (["a", "b"], [], ["A=b=c"])
    assert made["HostConfig"]["NanoCpus"] == 5 * 10**8
    plain = configuration(image="i", labels={}, environment={}, user="1", limits=Limits(1), endpoint=Endpoint("n", "10.0.0.2"))
    assert "Entrypoint" not in plain
    assert plain["HostConfig"]["Memory"] == 6 * 1024 * 1024


def test_volumes_of_the_image_carry_labels() -> None:
    """Each path that the image wants a volume at, but those that are memory or a named volume already, gets one that says whose it is."""
    made = configuration(
        image="i",
        image_volumes=("/data", "/cache/", "/var/lib/db", "relative"),
        labels={"slipway.role": "application", "slipway.service": "web"},
        environment={},
        user="1",
        limits=Limits(1),
        endpoint=Endpoint("n", "10.0.0.2"),
        writable=("/cache",),
        volumes={"rows": "/var/lib/db"},
    )
    assert made["HostConfig"]["Mounts"] == [
        {"Type": "volume", "Source": "rows", "Target": "/var/lib/db"},
        {
            "Type": "volume",
            "Target": "/data",
            "VolumeOptions": {"Labels": {"slipway.role": "scratch", "slipway.service": "web"}},
        },
    ]
    assert volumes_of({"Config": {"Volumes": {"/data": {}}}}) == ("/data",)
    assert volumes_of({"Config": {"Volumes": None}}) == ()

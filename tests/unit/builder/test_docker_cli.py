"""What the docker client is started with."""

from pathlib import Path

from services.builder.docker_cli import BuildOrder, DockerCli


async def test_a_proxy_s_password_is_in_no_list_of_processes(tmp_path: Path) -> None:
    """The client takes it from its environment, and takes no proxy for itself."""
    client = tmp_path / "docker"
    client.write_text('#!/bin/sh\necho "arguments $*" >&2\nenv | sed "s/^/env /" >&2\n')
    client.chmod(0o700)
    proxy = "http://ci:canary@proxy.example:3128"
    arguments = {"HTTPS_PROXY": proxy, "http_proxy": proxy, "no_proxy": "example.com", "PATH": "/x", "N": "1"}
    order = BuildOrder(tmp_path, tmp_path / "Dockerfile", "r.example/a:1", {}, None, arguments, {}, "caches")
    said = [line async for line in DockerCli(client, "tcp://engine.example:2376", None).build(order, tmp_path)]
    (started,) = (line for line in said if line.startswith("arguments "))
    assert "canary" not in started
    shown = "--build-arg HTTPS_PROXY --build-arg http_proxy --build-arg no_proxy=example.com --build-arg PATH=/x --build-arg N=1"
    assert f" {shown} --build-arg BUILDKIT_CACHE_MOUNT_NS=caches" in started
    assert {f"env HTTPS_PROXY={proxy}", f"env http_proxy={proxy}", "env NO_PROXY=*"} < set(said)
    assert "env PATH=/x" not in said

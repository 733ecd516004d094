"""What surrounds a command: variables that lead nowhere, what answers in the place of the platform, what is typed, what is told."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from embedded import authority
from embedded.home import Home
from tests.integration.cli.stand_in import Answer, standing_in


@pytest.mark.parametrize("url", ["http://host:x", "slipway.example", "https://[::1", "ftp://slipway.example", "http://"])
@pytest.mark.parametrize("words", [("whoami",), ("credential", "get")])
def test_an_address_that_is_none_is_said(url: str, words: tuple[str, ...]) -> None:
    """With the variable that holds it; so is one of SLIPWAY_HTTP."""
    with standing_in({}) as platform:
        done = platform.slipway(*words, SLIPWAY_URL=url)
        of_http = platform.slipway(*words, SLIPWAY_URL="", SLIPWAY_HTTP="127.0.0.1:x")
    assert (done.exit_code, f"SLIPWAY_URL holds no address: {url}" in done.stderr) == (1, True), done.output
    assert (of_http.exit_code, "SLIPWAY_HTTP holds no address: 127.0.0.1:x" in of_http.stderr) == (1, True)


@pytest.mark.parametrize("proxy", ["gopher://127.0.0.1:9", "http://127.0.0.1:x"])
def test_a_proxy_that_cannot_be_used_is_said(proxy: str) -> None:
    """As httpx says it, with the variables that name one."""
    with standing_in({}) as platform:
        done = platform.slipway("whoami", ALL_PROXY=proxy)
    assert (done.exit_code, "The proxy that the environment names" in done.stderr) == (1, True), done.output


def test_what_answers_and_is_not_slipway_is_said() -> None:
    """Another program's page, and a server that speaks no TLS: neither is a platform that does not run."""
    with standing_in({"/me": [Answer("<html>It works!</html>")]}) as platform:
        page = platform.slipway("whoami")
        plain = platform.slipway("whoami", SLIPWAY_URL=platform.url.replace("http:", "https:"))
    assert (page.exit_code, f"What answers at {platform.url} is not Slipway." in page.stderr) == (1, True), page.output
    assert (plain.exit_code, "TLS fails with what answers" in plain.stderr) == (1, True), plain.output


@pytest.mark.parametrize("content", [b"", b"\n", b"slw_a\nb", "slw_ü".encode(), b"\xff"])
def test_a_token_file_without_a_token_is_named(tmp_path: Path, content: bytes) -> None:
    """As a variable without one is."""
    (tmp_path / "token").write_bytes(content)
    with standing_in({}) as platform:
        done = platform.slipway("whoami", SLIPWAY_TOKEN=None, SLIPWAY_HOME=str(tmp_path))
    assert (done.exit_code, f"{tmp_path}/token holds no token." in done.stderr) == (1, True), done.output


def test_a_home_of_nobody_has_no_token() -> None:
    """A name that the system does not know."""
    with standing_in({}) as platform:
        done = platform.slipway("whoami", SLIPWAY_TOKEN=None, SLIPWAY_HOME="~nobody-of-that-name/.slipway")
    assert (done.exit_code, "There is no token" in done.stderr) == (1, True), done.output


@pytest.mark.parametrize("command", ["up", "down", "status", "doctor", "trust"])
def test_a_home_of_nobody_is_said(command: str) -> None:
    """As any other setting that cannot be read."""
    with standing_in({}) as platform:
        done = platform.slipway(command, SLIPWAY_HOME="~nobody-of-that-name/.slipway")
    assert (done.exit_code, "SLIPWAY_HOME cannot be read: there is no such user" in done.stderr) == (1, True), done.output


@pytest.mark.parametrize(("days", "told"), [(100, 0), (80, 2)])
def test_doctor_tells_of_an_authority_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, told: int) -> None:
    """Both; nothing renews them, as people's trust hangs on one."""
    monkeypatch.setattr(authority, "_CA_DAYS", days)
    home = Home.at(tmp_path)
    home.prepare()
    authority.prepare(home, ())
    with standing_in({}) as platform:
        done = platform.slipway("doctor", SLIPWAY_HOME=str(tmp_path))
    assert done.output.count("✗ certificate authority: ") == told, done.output
    assert (f"ca/ca.pem ends on {datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}" in done.output) == bool(told)
    assert f"slipway down, remove {home.ca}/ca.pem, slipway up, slipway trust" in done.output or not told


def test_doctor_tells_of_an_authority_that_cannot_be_read(tmp_path: Path) -> None:
    """It is no certificate: cut off, or another file."""
    home = Home.at(tmp_path)
    home.prepare()
    (home.ca / "ca.pem").write_text("-----BEGIN CERT")
    with standing_in({}) as platform:
        done = platform.slipway("doctor", SLIPWAY_HOME=str(tmp_path))
    assert f"✗ certificate authority: {home.ca}/ca.pem is no certificate" in done.output, done.output


@pytest.mark.parametrize("name", ["t1?x", "t1#x", "t1%00", "t1\nx"])
def test_a_name_leads_to_nothing_but_what_it_names(name: str) -> None:
    """Whatever it means in an address: a token of another name is not revoked."""
    with standing_in({"/tokens/t1": [Answer(status=204)]}) as platform:
        done = platform.slipway("token", "revoke", name)
    assert (done.exit_code, "There is no" in done.stderr) == (1, True), done.output


def test_a_name_does_not_lead_upwards() -> None:
    """Nothing is asked for."""
    with standing_in({"/people/p1": [Answer(status=204)]}) as platform:
        done = platform.slipway("token", "revoke", "../people/p1")
    assert (done.exit_code, platform.asked) == (1, []), done.output


@pytest.mark.parametrize(
    "words",
    [
        ("project", "delete", ""),
        ("deploy", "-p", "todo", "--commit", ""),
        ("deploy", "-p", "todo", "-e", ""),
        ("cancel", "", "-p", "todo"),
        ("approve", "", "-p", "todo"),
        ("rollback", "-p", ""),
        ("rollback", "-p", "todo", "--to", ""),
        ("env", "set", "A=1", "-p", "todo", "-s", ""),
        ("connections", "remove", "hub", "-o", ""),
        ("token", "create", "ci", "--person", ""),
        ("token", "create", "ci", "--expires", ""),
        ("token", "create", "ci", "--expires", "0d"),
        ("project", "delete", "main/"),
        ("project", "delete", "/todo"),
        ("project", "delete", "a/b/todo"),
        ("deployments", "-e", ""),
    ],
)
def test_what_is_empty_is_wrong_usage(words: tuple[str, ...]) -> None:
    """A variable of a script that is not set: it means neither the newest, nor all, nor one's own, nor for ever."""
    with standing_in({}) as platform:
        done = platform.slipway(*words)
    assert (done.exit_code, platform.asked) == (2, []), done.output


def test_what_is_told_is_told_as_it_is() -> None:
    """Square brackets are no markup, and a value that looks like a time is none: another one would be told, or nothing at all."""
    value = "2026-13-01T00:00:00Z"
    items = [
        {"service": "", "name": "SINCE", "value": value, "version": 1},
        {"service": "", "name": "NEXT", "value": "2026-01-02T03:04:05Z"},
    ]
    answers = {
        "/me": [Answer({"name": "Bot [bold] :fire: [/ci]", "id": "p1", "roles": []})],
        "/environments/main/todo/production/variables": [Answer({"items": items, "next": None})],
        "/tokens/t1": [Answer({"type": "/problems/no", "detail": "Not :fire: of [/this]"}, 409)],
    }
    with standing_in(answers) as platform:
        me, listed, refused = [platform.slipway(*words) for words in (("whoami",), ("env", "-p", "todo"), ("token", "revoke", "t1"))]
    assert me.stdout == "Bot [bold] :fire: [/ci] (p1): no role\n"
    assert value in listed.stdout
    assert "2026-01-02T03:04:05Z" in listed.stdout
    assert "✗ Not :fire: of [/this]" in refused.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("secret", "set", "KEY", "-p", "todo"),
        ("channels", "add", "chat", "chat"),
        ("connections", "add", "hub", "https://github.com/acme/todo", "-p", "todo", "--token"),
        ("connections", "app", "hub", "1"),
        ("env", "set", "A=\udcff", "-p", "todo"),
        ("explain", "\udcff"),
        ("deployments", "-p", "\udcff"),
    ],
)
def test_what_is_no_text_is_said(words: tuple[str, ...]) -> None:
    """A key as it is on disk, and an argument in another encoding."""
    with standing_in({}) as platform:
        done = platform.slipway(*words, given=b"\xff\xfe")
    assert (done.exit_code, "is no text in UTF-8" in done.stderr) == (1, True), done.output


@pytest.mark.parametrize("words", [("connect", "github"), ("connections", "change", "hub")])
def test_an_address_of_a_repository_that_is_none_is_wrong_usage(words: tuple[str, ...]) -> None:
    """Nothing is asked for."""
    with standing_in({}) as platform:
        done = platform.slipway(*words, "http://[x", *(("-p", "todo") if words[0] == "connect" else ()))
    assert (done.exit_code, platform.asked) == (2, []), done.output


def test_an_old_terminal_shows_what_it_can() -> None:
    """A sign that it does not know ends no command."""
    with standing_in({"/me": [Answer({"name": "Zoë ✓", "id": "p1", "roles": []})]}) as platform:
        old = {"SLIPWAY_URL": platform.url, "SLIPWAY_TOKEN": "slw_test", "PYTHONIOENCODING": "latin-1"}
        words = [sys.executable, "-m", "cli.main", "whoami"]
        done = subprocess.run(words, env={**os.environ, **old}, capture_output=True, check=False)
    assert done.stdout.decode("latin-1") == "Zoë \\u2713 (p1): no role\n", done.stderr


@pytest.mark.parametrize("words", [("push",), ("env", "list")])
def test_a_checkout_of_somebody_else_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    """Git looks into none: it is a checkout all the same."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    with standing_in({}) as platform:
        done = platform.slipway(*words, GIT_TEST_ASSUME_DIFFERENT_OWNER="1", LC_ALL="C.UTF-8", LANGUAGE="de")
    assert (done.exit_code, f"safe.directory {tmp_path}" in done.stderr) == (1, True), done.output


def test_a_folder_that_is_gone_is_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody stands in it still."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with standing_in({}) as platform:
        done = platform.slipway("push")
    assert (done.exit_code, "in no git checkout" in done.stderr) == (1, True), done.output


@pytest.mark.parametrize(
    "words",
    [
        ("connections", "add", "hub", "https://github.com/acme/todo", "-p", "todo", "--token"),
        ("connections", "change", "hub", "https://github.com/acme/todo", "--token"),
        ("connections", "rotate", "hub", "--secret"),
        ("channels", "add", "forge", "forge"),
        ("channels", "token", "hub"),
        ("channels", "rotate", "hub", "--secret"),
    ],
)
def test_a_secret_that_does_not_come_is_not_sent(words: tuple[str, ...]) -> None:
    """A pipe that holds nothing: what is stored stays."""
    with standing_in({"/connections/main/hub": [Answer({})]}) as platform:
        done = platform.slipway(*words, given=b"\n")
    assert (done.exit_code, "is empty." in done.stderr) == (1, True), done.output
    assert not [asked for asked in platform.asked if not asked.startswith("GET")]


@pytest.mark.parametrize(
    "words",
    [
        ("deployments", "--state", "rolled back"),
        ("logs", "d1", "-f", "--step", "build-web"),
        ("environment", "remove", "staging", "-p", "todo", "--json"),
    ],
)
def test_what_would_be_left_out_is_wrong_usage(words: tuple[str, ...]) -> None:
    """A state that there is not has no deployments, a step would not be left out, and nobody can be asked."""
    with standing_in({"/deployments": [Answer({"items": [], "next": None})]}) as platform:
        done = platform.slipway(*words)
    assert (done.exit_code, platform.asked) == (2, []), done.output

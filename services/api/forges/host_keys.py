"""The keys by which a host is known over SSH: those that it publishes, else those that it shows when it is asked for the first time."""

import asyncio
import os
from contextlib import suppress

from shared import ssh
from shared.guarded_http import Failed, GuardedClient
from shared.outbound import Refused
from shared.problems import Problem
from shared.subprocesses import spawn

ASK_S = 15.0


async def keys_of(client: GuardedClient, address: str) -> tuple[str, ...]:
    """The keys of the host of `ssh://…`, at least one, each `ssh-ed25519 AAAA…`. Raises `Problem`."""
    host, port = ssh.host_and_port(address)
    if port == ssh.PORT and host in ssh.PUBLISHED:
        return ssh.PUBLISHED[host]
    try:
        shown = await _scanned(await client.address_of(host, port), port)
    except Refused as refused:
        raise Problem(422, "forge-refused", f"{host} is not called: {refused}") from refused
    except (Failed, TimeoutError) as failed:
        raise Problem(502, "forge-away", f"{host} cannot be asked for its keys: {str(failed) or 'no answer in time'}") from failed
    if not shown:
        detail = f"Nothing speaks SSH at {host}, port {port}. Where is it cloned from over SSH? Say it: clone_url ssh://git@{host}:PORT/…"
        raise Problem(422, "no-ssh", detail)
    return shown


async def _scanned(address: str, port: int) -> tuple[str, ...]:
    """What `ssh-keyscan` is shown: `<host> <kind> <key>` a line, and remarks."""
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}
    try:
        program = await spawn("ssh-keyscan", "-T", "10", "-t", "ed25519,ecdsa,rsa", "-p", str(port), address, env=env)
    except FileNotFoundError:
        raise Problem(501, "no-ssh-here", "ssh-keyscan is missing where Slipway runs: install OpenSSH's client there.") from None
    try:
        async with asyncio.timeout(ASK_S):
            told, _ = await program.communicate()
    finally:
        if program.returncode is None:
            with suppress(ProcessLookupError):
                program.kill()
            await program.wait()
        program.close()
    lines = [line.split() for line in told.decode(errors="replace").splitlines() if not line.startswith("#")]
    return tuple(sorted(f"{words[1]} {words[2]}" for words in lines if len(words) == 3))

"""Child processes of the supervisor: forked, with an end that follows the parent's, and ended in time."""

import ctypes
import os
import pwd
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_STANDARD_ERROR = 2
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Account:
    """The system user that a program runs as."""

    name: str
    uid: int
    gid: int

    @classmethod
    def named(cls, name: str) -> "Account":
        """Raises KeyError where there is no such user."""
        entry = pwd.getpwnam(name)
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True)
class Outcome:
    """How a child ended."""

    code: int
    """The exit code, or the negated number of the signal that ended it."""

    def __str__(self) -> str:
        if self.code >= 0:
            return f"exit code {self.code}"
        with suppress(ValueError):  # Real-time signals have no names.
            return f"ended by {signal.Signals(-self.code).name}"
        return f"ended by signal {-self.code}"


def fork(run: Callable[[], None], log: Path, *, end_with_parent: signal.Signals = signal.SIGTERM, keep: Sequence[int] = ()) -> int:
    """Start `run` in a child of its own session whose output goes to `log`; its process id is returned.

    Of the open files only standard output and error are left to it, and those that it shall `keep`. When this process dies, however it dies, the child gets `end_with_parent`. The caller has one thread
    and no running event loop.
    """
    for output in (sys.stdout, sys.stderr):
        with suppress(OSError):  # A full disk, where they lead to a file, is no reason to start nobody.
            output.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_child(run, log, end_with_parent, parent, keep)
    return pid


def program(
    arguments: Sequence[str], environment: Mapping[str, str], account: Account | None, end_with_parent: signal.Signals
) -> Callable[[], None]:
    """What `fork` runs to become another program, as another user where one is given."""

    def become() -> None:
        if account is not None:
            os.initgroups(account.name, account.gid)
            os.setgid(account.gid)
            os.setuid(account.uid)
            _end_with_parent(end_with_parent)  # Changing the user forgets it.
        os.execve(arguments[0], list(arguments), dict(environment))  # noqa: S606 -- a shell has no part in it

    return become


def name_process(name: str) -> None:
    """What `ps` and `top` show of it (15 bytes)."""
    _LIBC.prctl(_PR_SET_NAME, name.encode()[:15] + b"\0", 0, 0, 0)


def reap(pid: int) -> Outcome | None:
    """How the child ended, or None while it runs. Of a child that is not ours nothing is known: code 0."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None if _runs(pid) else Outcome(0)
    return Outcome(os.waitstatus_to_exitcode(status)) if ended else None


def _runs(pid: int) -> bool:
    """A zombie, whose own parent never asks for its end, does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def end(pids: Sequence[int], with_signal: signal.Signals, grace: float) -> list[int]:
    """Signal processes and wait for them, `grace` seconds in all; those left are killed and returned."""
    left = list(pids)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, with_signal)
    left = _wait(left, grace)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _wait(left, 5.0)
    return left


def _wait(pids: list[int], limit: float) -> list[int]:
    deadline = time.monotonic() + limit
    while pids and time.monotonic() < deadline:
        pids = [pid for pid in pids if reap(pid) is None]
        if pids:
            time.sleep(0.02)
    return pids


def end_left_over(pid_file: Path, marker: str, with_signal: signal.Signals, grace: float) -> bool:
    """End a program that a killed supervisor left behind: the process in the file whose command line holds `marker`."""
    with suppress(OSError, ValueError, IndexError, psutil.Error):
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        if any(marker in argument for argument in process.cmdline()):
            end([process.pid], with_signal, grace)
            return True
    return False


def _be_child(run: Callable[[], None], log: Path, end_with_parent: signal.Signals, parent: int, keep: Sequence[int]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        _reset_signals()
        _end_with_parent(end_with_parent)
        if os.getppid() != parent:
            os._exit(0)
        _redirect(log, keep)
        run()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 -- the edge of the process: it goes to the log, and the exit code says so
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _reset_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _redirect(log: Path, keep: Sequence[int]) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    for number in sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir()):
        if number > _STANDARD_ERROR and number not in keep:
            with suppress(OSError):  # The listing's own descriptor is gone by now.
                os.close(number)


def _end_with_parent(with_signal: signal.Signals) -> None:
    if _LIBC.prctl(_PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")

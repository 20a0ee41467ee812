"""Child processes: how they begin, how they end, and what is said when one cannot be had."""

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


class CannotStart(Exception):
    """Why the house cannot start, and what to type, in one line for a person."""


def before_exec(
    dies_by: signal.Signals, account: tuple[int, int] | None = None
) -> Callable[[], None]:
    """What a child runs before its program: it ends when we end, and may run as another account.

    Args:
        dies_by: The signal the kernel sends it when we die, however we die.
        account: (uid, gid) to become, if any.
    """
    parent = os.getpid()

    def prepare() -> None:
        if account is not None:
            _become(*account)
        # After the change of account, which would clear it.
        _libc.prctl(_PR_SET_PDEATHSIG, int(dies_by), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _become(uid: int, gid: int) -> None:
    # Root's own directories are closed to others; rather than open them, the account keeps the one
    # capability that passes through. Where that is not granted, paths must be open already.
    _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    override = 1 << _CAP_DAC_OVERRIDE
    _libc.capset(header, (ctypes.c_uint32 * 6)(override, override, override, 0, 0, 0))
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child and to all it started; nothing if they are gone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log, for the message of a child that did not start."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-lines:])

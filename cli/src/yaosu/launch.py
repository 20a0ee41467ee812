"""What a child runs before its program: it ends when its parent does, and may change its account.

`python launch.py PARENT SIGNAL UID GID PROGRAM …`; a script of its own, standard library only,
because code run between fork and exec in a process with threads may hang.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def main(arguments: list[str]) -> None:
    """Become the program."""
    parent, dies_by, uid, gid = map(int, arguments[:4])
    program = arguments[4:]
    libc = ctypes.CDLL(None, use_errno=True)
    if uid != os.geteuid():
        _become(libc, uid, gid)
    # After the change of account, which would clear it.
    libc.prctl(_PR_SET_PDEATHSIG, dies_by, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(program[0], program)


def _become(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    # Root's own directories are closed to others; rather than open them, the account keeps the one
    # capability that passes through. Where that is not granted, paths must be open already.
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    override = 1 << _CAP_DAC_OVERRIDE
    libc.capset(header, (ctypes.c_uint32 * 6)(override, override, override, 0, 0, 0))
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])

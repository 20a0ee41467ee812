"""Where the house's processes are forked from: a program is imported once, not at every start.

`python nursery.py PACKAGE PLANTS` reads a line of JSON for each process it is to fork and says its
pid and, when it has ended, its exit code. A forked process is what `python -m PACKAGE` would be: in
a session of its own, with its own environment and log, gone when its nursery goes.
"""

import ctypes
import importlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def main(package: str, plants: str) -> None:
    """Fork what is asked for until there is no more to ask."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    if plants:
        known = importlib.import_module("lab.plants").PLANTS
        edits = [edit for name in plants.split(",") for edit in known[name].edits]
        importlib.import_module("lab.planting").plant(edits)
    program = importlib.import_module(f"{package}.__main__").PROGRAM
    _say({"ready": package})
    waiting = b""
    while True:
        readable, _, _ = select.select([0], [], [], 0.05)
        if readable:
            said = os.read(0, 1 << 16)
            if not said:
                return
            *lines, waiting = (waiting + said).split(b"\n")
            for line in lines:
                _fork(program, json.loads(line))
        _bury()


def _fork(program: Any, wish: dict[str, Any]) -> None:
    nursery = os.getpid()
    pid = os.fork()
    if pid:
        _say({"born": wish["name"], "pid": pid})
        return
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != nursery:
        os._exit(1)
    log = os.open(wish["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(wish["env"])
    os._exit(_run(program, wish["role"]))


def _run(program: Any, role: str) -> int:
    from marketkit.program import main as run

    try:
        run(program, ["--role", role])
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else bool(end.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _bury() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _say(said: dict[str, Any]) -> None:
    os.write(1, json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

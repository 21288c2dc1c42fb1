"""``--detach``, ``--uid``, ``--gid`` and ``--umask`` of ``canvas worker``, as Celery's."""

import grp
import os
import pwd
import sys
from collections.abc import Callable, Mapping
from typing import Any

from canvas.errors import ConfigurationError
from canvas.worker.process_files import ProcessFiles

_DETACHED = "_CANVAS_WORKER_DETACHED"
"""Set in the environment of a process that has been detached already."""


def detach(check: Callable[[], None], started_in: str, logfile: str | None, executable: str | None) -> bool:
    """Run this command again in the background, in a session of its own; True in the process that asked for it.

    ``check`` is called first, in the new session; an exception of it ends the command. Standard error is written to
    ``logfile``, standard output to the null device. ``started_in``: the working directory when the command started.
    False in the process in the background.
    """
    if os.environ.pop(_DETACHED, None):
        return False
    sys.stdout.flush()
    sys.stderr.flush()
    first = os.fork()
    if first:
        if os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]):
            raise SystemExit(2)
        return True
    code = 2
    try:
        os.setsid()
        check()
        code = 0
        if os.fork():
            os._exit(0)
        _redirect(logfile)
        os.chdir(started_in)
        os.environ[_DETACHED] = "1"
        program = executable or sys.executable
        os.execv(program, [program, "-m", "canvas", *sys.argv[1:]])
    except (ConfigurationError, OSError) as exc:
        os.write(2, f"Error: {exc}\n".encode(errors="backslashreplace"))
    finally:
        os._exit(code)


def in_background(given: Mapping[str, Any], started_in: str) -> bool:
    """Carry out the options ``detach``, ``uid``, ``gid``, ``umask``, ``pidfile``, ``logfile`` and ``executable`` of a
    command; True in the process that is to end, because another one runs the command in the background.

    Raises ConfigurationError.
    """

    def become() -> None:
        drop_privileges(given["uid"], given["gid"])
        set_umask(given["umask"])

    def check() -> None:
        become()
        files = ProcessFiles(given["pidfile"])
        files.acquire()
        files.remove()

    logfile = os.path.abspath(given["logfile"]) if given["logfile"] else None
    if given["detach"] and detach(check, started_in, logfile, given["executable"]):
        return True
    become()
    return False


def _redirect(logfile: str | None) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(logfile, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666) if logfile else null
    for stream, target in ((0, null), (1, null), (2, log)):
        os.dup2(target, stream)


def set_umask(text: str | int | None) -> None:
    """Octal if it begins with 0, otherwise decimal. Raises ConfigurationError."""
    if text is None:
        return
    try:
        mask = text if isinstance(text, int) else int(text, 8 if text.startswith("0") else 10)
        os.umask(mask)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"--umask: expected a number, such as 022; got {text!r}") from None


def drop_privileges(user: str | int | None, group: str | int | None) -> None:
    """Become ``user`` (a name or a number) and ``group``, the user's own without one. Raises ConfigurationError."""
    if user is None and group is None:
        return
    try:
        account = None if user is None else _account(user)
        gid = _group(group) if group is not None else account.pw_gid if account is not None else os.getgid()
    except KeyError as exc:
        raise ConfigurationError(f"--uid, --gid: there is no such user or group: {exc.args[0]}") from None
    uid = account.pw_uid if account is not None else os.getuid()
    if (os.getuid(), os.getgid()) == (uid, gid):
        return
    try:
        os.setgid(gid)
        if account is not None:
            os.initgroups(account.pw_name, gid)
        os.setuid(uid)
    except PermissionError:
        raise ConfigurationError(f"--uid, --gid: only root can become user {uid} and group {gid}") from None


def _account(user: str | int) -> pwd.struct_passwd:
    return pwd.getpwuid(int(user)) if str(user).isdecimal() else pwd.getpwnam(str(user))


def _group(group: str | int) -> int:
    return int(group) if str(group).isdecimal() else grp.getgrnam(str(group)).gr_gid

"""Runs one process and measures it."""

import collections
import os
import resource
import signal
import subprocess
import threading
import time

Command = collections.namedtuple("Command", "argv env cwd", defaults=(None, None))

# wall and cpu in seconds, memory in bytes (the most that was resident at once), synced: wall until a sync
# behind it has ended, too; others: CPU seconds that went elsewhere while the command ran, those that the
# hypervisor took included.
Measured = collections.namedtuple("Measured", "wall cpu memory synced others")

# More than this part of all cores' time, and a run was disturbed. Threads of the kernel that write back are in it.
DISTURBED = 0.05


class Failed(Exception):
    """A command did not end well."""


def busy():
    """CPU seconds that all cores were not idle since the system was started."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = (int(n) for n in file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def share(others, wall):
    """Which part of all cores' time others took. Ticks of the clock are too coarse for short commands."""
    return others / (wall * os.cpu_count()) if wall >= 0.5 else 0.0


def own_memory():
    """Bytes. A child inherits this as the peak that it starts with: less than this cannot be measured."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(command, log, timeout):
    """Runs the command to its good end, with what it prints appended to the file `log`."""
    environment = {**os.environ, **(command.env or {})}
    with open(log, "ab") as out:
        out.write((" ".join(command.argv) + "\n").encode())
        out.flush()
        before = busy()
        start = time.monotonic()
        child = subprocess.Popen(
            command.argv, env=environment, cwd=command.cwd, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True,
        )
        timer = threading.Timer(timeout, os.killpg, (child.pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        others = busy() - before
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        os.sync()
        synced = time.monotonic() - start
    if child.returncode != 0:
        with open(log, "rb") as said:
            tail = said.read()[-2000:].decode(errors="replace")
        why = f"was stopped after {timeout} s" if wall >= timeout else f"ended with {child.returncode}"
        raise Failed(f"{' '.join(command.argv)} {why}:\n{tail}")
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(wall, cpu, usage.ru_maxrss * 1024, synced, max(0.0, others - cpu))


def output(command):
    """What a command prints; not measured."""
    environment = {**os.environ, **(command.env or {})}
    done = subprocess.run(
        command.argv, env=environment, cwd=command.cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(command.argv)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def warm(*paths):
    """Reads files, and all files of folders, so that they are in the page cache."""
    for path in paths:
        if os.path.isdir(path):
            for folder, _, names in os.walk(path):
                warm(*(os.path.join(folder, name) for name in names))
        elif os.path.isfile(path):
            with open(path, "rb", buffering=0) as file:
                while file.read(1 << 22):
                    pass

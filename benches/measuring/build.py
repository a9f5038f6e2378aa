"""Builds this program and the benches that help to measure it."""

import json
import os
import resource
import subprocess
import time

from .material import run_builder
from .process import Command, Failed, busy, output, share

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Builder:
    """Paths of what was built."""

    def __init__(self, quick, runs):
        profile = [] if quick else ["--release"]
        argv = [os.environ.get("CARGO", "cargo"), "build", "--message-format=json", *profile]
        argv += ["--bin", "backy2", "--bench", "limit", "--bench", "database"]
        done = subprocess.run(argv, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failed("the build failed")
        messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        self.paths = {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}
        self.rounds = min(runs, 3)

    @property
    def program(self):
        return self.paths["backy2"]

    def database(self, path, versions, blocks, scattered):
        """Makes a database in this program's schema."""
        numbers = [str(n) for n in (versions, blocks, scattered)]
        return run_builder(Command([self.paths["database"], path, *numbers])).strip()

    def limits(self, image, ways):
        """What `limit` measures of these ways, by their names; the number of threads; the part of all cores'
        time that others took meanwhile."""
        rounds = ["--runs", str(self.rounds)]
        before, own, start = busy(), children(), time.monotonic()
        found = json.loads(output(Command([self.paths["limit"], image, "--json", *rounds, *ways])))
        others = busy() - before - (children() - own)
        return found["ways"], found["threads"], share(max(0.0, others), time.monotonic() - start)


def children():
    """CPU seconds of all commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def commit():
    """What is measured, as far as git knows."""
    try:
        name = output(Command(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT)).strip()
        measured = ["src", "benches", "Cargo.toml", "Cargo.lock"]
        changed = output(Command(["git", "status", "--porcelain", "--", *measured], cwd=PROJECT)).strip()
        return f"{name} with changes" if changed else name
    except (Failed, OSError):
        return "of an unknown commit"

"""Turns measurements into tables."""

import collections
import datetime
import os
import platform
import re
import statistics

from .build import commit
from .process import DISTURBED, own_memory, share

# The way of `limit` that a job can be compared with.
WAYS = {"first": "first", "second": "unchanged", "scrub": "scrub", "restore-memory": "restore", "restore": "restore"}
MB = 1e6

# What is aimed at: job, kind, program that it is compared with, and how far.
GOALS = [
    ("first", "faster", "backy2-2.13", 4), ("first", "faster", "restic", 1), ("first", "faster", "borg", 1),
    ("first", "faster", "benji", 1), ("first", "limit", None, 1.3), ("first", "memory", None, 150),
    ("second", "faster", "backy2-2.13", 8), ("second", "limit", None, 1.3), ("second", "memory", None, 150),
    ("restore", "synced", "backy2-2.13", 4), ("restore", "memory", None, 150),
    ("restore-memory", "faster", "backy2-2.13", 5),
    ("scrub", "faster", "backy2-2.13", 5), ("scrub", "limit", None, 1.3), ("scrub", "memory", None, 150),
    ("list", "seconds", None, 0.015), ("list-large", "seconds", None, 0.015),
    ("incremental", "seconds", None, 3), ("incremental", "memory", None, 150),
]


# What `limit` found of one way, the number of threads, the part of all cores' time that others took meanwhile.
Limit = collections.namedtuple("Limit", "found threads others")


def disturbed(samples):
    """The greatest part of all cores' time that others took in one of these runs."""
    return max(share(sample.others, sample.wall) for sample in samples)


def median(samples, what):
    return statistics.median(getattr(sample, what) for sample in samples)


def seconds(value):
    return f"{value * 1000:.1f} ms" if abs(value) < 0.1 else f"{value:.2f} s"


def machine():
    """The machine in a line."""
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        found = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.M)
        model = found.group(1) if found else model
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


class Report:
    """The tables of one run."""

    def __init__(self, programs, runs, quick):
        self.programs, self.runs, self.quick = programs, runs, quick
        self.versions = {program.name: program.version() for program in programs}

    def job(self, job, results, limit):
        """The text about one job. `results`: program's name to label to samples."""
        lines = [self.conditions(), ""]
        labels = list(dict.fromkeys(label for samples in results.values() for label in samples))
        for label in labels:
            lines += self.table(label, {name: r[label] for name, r in results.items() if label in r})
        ours = results.get("backy2")
        if limit and ours:
            lines += self.limit(job, limit, ours)
        lines += self.disturbances(results, limit)
        if not self.quick:
            lines += self.goals(job, results, limit)
        return "\n".join(lines)

    def conditions(self):
        today = datetime.date.today().isoformat()
        quick = " A quick try of an unoptimised build: these figures say nothing." if self.quick else ""
        runs = "one run" if self.runs == 1 else f"medians of {self.runs} runs, least and most in brackets"
        return f"{today}, backy2 {commit()}, {machine()}; {runs}.{quick}"

    def disturbances(self, results, limit):
        """What else ran: nothing can be judged by a measurement that others have disturbed."""
        measured = [program for program in self.programs if program.name in results]
        found = [(p.title, max(disturbed(s) for s in results[p.name].values())) for p in measured]
        if limit:
            found.append(("the limit", limit.others))
        bad = [f"{title} {part:.0%}" for title, part in found if part > DISTURBED]
        if not bad:
            return []
        return [f"**Disturbed**: other processes took part of all cores' time, at worst {', '.join(bad)}.", ""]

    def table(self, label, samples):
        ours = samples.get("backy2")
        head = ["program" if not label else f"program, {label}", "wall", "CPU", "memory"]
        ratios = ["wall", "CPU", "memory"] if ours and len(samples) > 1 else []
        rows = [head + [f"{ratio} ÷ backy2's" for ratio in ratios]]
        for program in self.programs:
            if program.name in samples:
                rows.append(self.row(program, samples[program.name], ours if ratios else None))
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines.insert(1, "| --- |" + " ---: |" * (len(rows[0]) - 1))
        return lines + [""]

    def row(self, program, samples, ours):
        wall, cpu, memory = (median(samples, what) for what in ("wall", "cpu", "memory"))
        walls = sorted(sample.wall for sample in samples)
        spread = f" ({seconds(walls[0])} – {seconds(walls[-1])})" if len(walls) > 1 else ""
        # A child begins with the memory of this script as its peak.
        at_most = "≤ " if memory <= own_memory() else ""
        row = [f"{program.title} {self.versions[program.name]}", seconds(wall) + spread, seconds(cpu)]
        row.append(f"{at_most}{memory / MB:.0f} MB")
        if ours:
            for value, what in ((wall, "wall"), (cpu, "cpu"), (memory, "memory")):
                own = median(ours, what)
                row.append(f"{value / own:.2f}" if own > 0 else "–")
        return row

    def limit(self, job, limit, ours):
        found, threads = limit.found, limit.threads
        stages = ", ".join(
            f"{name} {seconds(stage['seconds'])} ({stage['bytes'] / stage['seconds'] / 1e9:.2f} GB/s)"
            for name, stage in found["stages"].items()
        )
        wall = median(ours[""], "wall")
        ratio = wall / found["limit_seconds"]
        below = " A limit that is beaten is none: it was measured too high." if ratio < 1 else ""
        return [
            f"Limit by CPU: {seconds(found['cpu_seconds'])} on one core ({stages}), of which {threads} cores do "
            f"{found['scale']:.2f} times as much: **{seconds(found['limit_seconds'])}**. backy2 takes "
            f"**{ratio:.2f}** times that.{below}",
            "",
        ]

    def goals(self, job, results, limit):
        rows = [row for row in (self.goal(goal, results, limit) for goal in GOALS if goal[0] == job.name) if row]
        if not rows:
            return []
        head = ["| goal | measured | |", "| --- | ---: | --- |"]
        return head + ["| " + " | ".join(row) + " |" for row in rows] + [""]

    def goal(self, goal, results, limit):
        """A row about a goal, if what it is about was measured in this run."""
        _, kind, peer, bound = goal
        ours = results.get("backy2")
        if not ours or (peer and peer not in results) or (kind == "limit" and not limit):
            return None
        first = next(iter(ours))
        if kind in ("faster", "synced"):
            label = "until a `sync` has ended" if kind == "synced" else first
            value = median(results[peer][label], "wall") / median(ours[label], "wall")
            text, shown, good = f"wall of {peer} ÷ backy2's: at least {bound}", f"{value:.2f}", value >= bound
        elif kind == "limit":
            value = median(ours[first], "wall") / limit.found["limit_seconds"]
            text, shown, good = f"wall ÷ limit: at most {bound}", f"{value:.2f}", value <= bound
        elif kind == "memory":
            value = max(median(samples, "memory") for samples in ours.values()) / MB
            text, shown, good = f"memory: under {bound} MB", f"{value:.0f} MB", value < bound
        else:
            value = median(ours[first], "wall")
            text, shown, good = f"wall: under {seconds(bound)}", seconds(value), value < bound
        if self.unsound(kind, value, first, ours, results.get(peer), limit):
            return [text, shown, "not judged: disturbed"]
        return [text, shown, "met" if good else "**not met**"]

    def unsound(self, kind, value, label, ours, theirs, limit):
        """Whether a value says nothing because others took part in it. Memory does not suffer from them."""
        if kind == "memory":
            return False
        if kind == "limit" and (limit.others > DISTURBED or value < 1):
            return True
        involved = [ours[label]] + ([theirs[label]] if theirs and label in theirs else [])
        return any(disturbed(samples) > DISTURBED for samples in involved)


def write(path, sections):
    """Puts texts between the markers of a document: `<!-- peers: JOB -->` and `<!-- end -->`."""
    with open(path) as file:
        text = file.read()
    for name, section in sections.items():
        marked = re.compile(rf"(<!-- peers: {re.escape(name)} -->\n).*?(<!-- end -->)", re.S)
        if not marked.search(text):
            raise SystemExit(f"{path} has no markers for {name}")
        text = marked.sub(lambda found: found.group(1) + "\n" + section.strip() + "\n\n" + found.group(2), text)
    with open(path, "w") as file:
        file.write(text)

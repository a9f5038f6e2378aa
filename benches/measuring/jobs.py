"""What is measured: how each job is prepared, and what is run."""

import os
import shutil

from . import material
from .process import Measured, run, warm

# The large image of the incremental backup, in blocks: 4 TiB, of which 1000 have changed. The blobs of the others
# have ids in order but for some.
LARGE, CHANGED, SCATTERED = 1 << 20, 1000, 300_000
# The database of `list-large`: versions, and blocks of each.
MANY = (5, 1_000_000)


class Context:
    """What jobs need to know."""

    def __init__(self, options, builder):
        self.work, self.builder, self.timeout = options.work, builder, options.timeout
        self.log = os.path.join(options.work, "commands.log")
        self.large, self.changed, self.scattered, self.many = LARGE, CHANGED, SCATTERED, MANY
        if options.quick:
            self.large, self.changed, self.scattered, self.many = 2000, 4, 600, (2, 1000)
        size, files = (64, 24) if options.quick else (2048, 1024)
        self.image = material.image(options.work, size, files)

    def folder(self, name, parent=None):
        """An empty folder."""
        path = os.path.join(parent or self.work, name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path

    def measure(self, command, *inputs):
        """Runs a command when its inputs are in the page cache and nothing waits to be written."""
        warm(*inputs)
        os.sync()
        return run(command, self.log, self.timeout)


class Job:
    """One thing to be measured."""

    def __init__(self, name, title, measure, ready=False, backy_only=False):
        self.name, self.text = name, title
        self.measure = measure
        # Whether a backup must be there before.
        self.ready, self.backy_only = ready, backy_only

    def title(self, context):
        """What was measured, with the numbers that count."""
        versions, blocks = context.many
        size = f"{context.large * material.BLOCK / (1 << 30):,.0f} GiB"
        return self.text.format(blobs=f"{versions * blocks:,}", size=size, changed=context.changed)


def first(context, program):
    program.reset()
    return context.measure(program.backup(context.image), context.image)


def second(context, program):
    return context.measure(program.second(context.image), context.image, program.store)


def restore(context, program, parent=None):
    folder = context.folder("backy2-peers-restored", parent)
    try:
        return context.measure(program.restore(folder), program.store)
    finally:
        shutil.rmtree(folder)


def restore_to_memory(context, program):
    return restore(context, program, "/dev/shm")


def scrub(context, program):
    return context.measure(program.scrub(), program.store)


def list_backups(context, program):
    return context.measure(program.list(), program.program)


def list_large(context, program):
    versions, blocks = context.many
    database = program.large_database(context.work, context.builder, versions, blocks, 0)
    return context.measure(program.list(database), program.program)


def incremental(context, program):
    """Of the whole image with hints, less a backup of an image that has nothing but the changed blocks."""
    whole, alone = incremental_whole(context, program), incremental_alone(context, program)
    wall, cpu = whole.wall - alone.wall, whole.cpu - alone.cpu
    return Measured(wall, cpu, whole.memory, whole.synced, whole.others + alone.others), whole, alone


def incremental_whole(context, program):
    ids = material.changed_blocks(context.large, context.changed)
    image = os.path.join(context.work, f"sparse-{context.large}")
    hints = os.path.join(context.work, "hints.json")
    material.sparse_image(image, context.large, ids)
    material.hints(hints, ids)
    large = program.large_database(context.work, context.builder, 1, context.large, context.scattered)
    database = os.path.join(program.folder, "incremental.sqlite")
    program.empty_database(database)
    shutil.copyfile(large, database)
    base = material.newest_version(database)
    # Only the blocks that are read: the rest of the file has no pages.
    read_blocks(image, ids)
    return context.measure(program.incremental(image, database, hints, base), database)


def incremental_alone(context, program):
    image = os.path.join(context.work, f"changed-{context.changed}")
    material.sparse_image(image, context.changed, range(context.changed))
    database = os.path.join(program.folder, "alone.sqlite")
    program.empty_database(database)
    return context.measure(program.incremental(image, database, None, None), image, database)


def read_blocks(image, ids):
    with open(image, "rb", buffering=0) as file:
        for block in ids:
            file.seek(block * material.BLOCK)
            file.read(material.BLOCK)


JOBS = [
    Job("first", "First backup", first),
    Job("second", "Second backup of the same image, read in full", second, ready=True),
    Job("restore", "Restore to a new file", restore, ready=True),
    Job("restore-memory", "Restore to a new file in memory (tmpfs)", restore_to_memory, ready=True),
    Job("scrub", "Scrub: all data read and verified", scrub, ready=True),
    Job("list", "List the backups of a small store", list_backups, ready=True),
    Job("list-large", "List the backups with {blobs} blobs in the database", list_large, backy_only=True),
    Job("incremental", "Incremental backup of {size}, {changed} blocks changed", incremental, backy_only=True),
]

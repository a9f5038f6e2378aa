"""What is backed up: images, hints, and databases that are too large to be made by backups."""

import json
import os
import random
import shutil
import sqlite3
import subprocess

from .process import Command, Failed, output

MIB = 1 << 20
BLOCK = 4 * MIB
FOLDERS = ("/usr/share", "/usr/bin", "/usr/lib")
# Two that are fixed, so that images differ in nothing but their files.
UUID = "6a1b2c3d-0000-4000-8000-000000000001"
HASH_SEED = "6a1b2c3d-0000-4000-8000-000000000002"


def image(folder, size_mib, files_mib):
    """An ext4 image of `size_mib` with about `files_mib` of files of the operating system, made once."""
    path = os.path.join(folder, f"image-{size_mib}")
    if not os.path.exists(path):
        tree = os.path.join(folder, "tree")
        shutil.rmtree(tree, ignore_errors=True)
        copy_files(tree, files_mib * MIB)
        with open(path + ".new", "wb") as file:
            file.truncate(size_mib * MIB)
        options = f"hash_seed={HASH_SEED},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
        environment = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "SOURCE_DATE_EPOCH": "0"}
        output(Command(
            ["mkfs.ext4", "-q", "-F", "-U", UUID, "-E", options, "-d", tree, path + ".new"], environment,
        ))
        shutil.rmtree(tree)
        # mkfs leaves extents that are allocated and unwritten: whether they count as holes depends on what is in
        # the page cache. In the copy all of them are holes.
        output(Command(["cp", "--sparse=always", path + ".new", path + ".copy"]))
        os.remove(path + ".new")
        os.rename(path + ".copy", path)
    return path


def copy_files(tree, limit):
    """Copies regular files, in the order of their names, until there are `limit` bytes."""
    total = 0
    for root in FOLDERS:
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if os.path.islink(path) or not os.path.isfile(path) or not os.access(path, os.R_OK):
                    continue
                size = os.path.getsize(path)
                if size > limit // 8:
                    continue
                target = tree + path
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copyfile(path, target)
                os.utime(target, (0, 0))
                total += size
                if total >= limit:
                    return
    raise Failed(f"{', '.join(FOLDERS)} have only {total // MIB} MiB of files")


def changed_blocks(blocks, changed):
    """Which blocks of a large image have changed: single ones, all over it."""
    return sorted(random.Random(1).sample(range(blocks), changed))


def sparse_image(path, blocks, ids):
    """A sparse file in which the first page of these blocks holds noise. Others are holes."""
    if os.path.exists(path):
        return
    noise = random.Random(2)
    with open(path + ".new", "wb") as file:
        file.truncate(blocks * BLOCK)
        for block in ids:
            file.seek(block * BLOCK)
            file.write(noise.randbytes(4096))
    os.rename(path + ".new", path)


def hints(path, ids):
    """These blocks as a list of changes."""
    with open(path, "w") as file:
        json.dump([{"offset": n * BLOCK, "length": BLOCK, "exists": "true"} for n in ids], file)


def newest_version(database):
    """The uid of the newest version in a database of any release."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT uid FROM versions ORDER BY date DESC LIMIT 1").fetchone()[0]
    finally:
        connection.close()


def has_old_schema(database):
    """Whether a database that a program has made has one row of `blocks` for each block, as 2.13's."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        kind = connection.execute("SELECT type FROM sqlite_master WHERE name = 'blocks'").fetchone()
        return kind == ("table",)
    finally:
        connection.close()


def fill_old_schema(database, versions, blocks, checksum, envkey):
    """Fills a database of 2.13 with versions, each block of which has a blob of its own. Its blobs have no order."""
    connection = sqlite3.connect(database)
    uids = random.Random(3)
    now = "2024-01-01 00:00:00.000000"
    for n in range(versions):
        version = f"{n:08x}-0000-11ef-8000-000000000000"
        connection.execute(
            "INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)"
            " VALUES (?, ?, ?, '', ?, ?, 1, 0)", (version, now, f"vm{n}", blocks, blocks * BLOCK),
        )
        connection.execute("INSERT INTO tags (version_uid, name) VALUES (?, 'daily')", (version,))
        connection.executemany(
            "INSERT INTO blocks (uid, version_uid, id, date, checksum, size, valid, enc_version, enc_envkey,"
            " enc_nonce) VALUES (?, ?, ?, ?, ?, ?, 1, 1, ?, ?)",
            ((uids.randbytes(16).hex(), version, i, now, checksum, BLOCK, envkey, "0a" * 16) for i in range(blocks)),
        )
        connection.commit()
    connection.close()


def run_builder(command):
    """Runs a command that builds something, with its messages shown."""
    done = subprocess.run(command.argv, cwd=command.cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command.argv)} ended with {done.returncode}")
    return done.stdout

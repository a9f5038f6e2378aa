"""backy2, this one and others, as a program to be measured."""

import hashlib
import os
import shutil
import sqlite3

from . import material
from .process import Command, output

KEY = "0f" * 32
# A data key of 32 times 7, wrapped with KEY (RFC 3394): what support/large.rs puts into its rows.
ENVKEY = "d8d26039841dea24abcd039b74074c94f6c3e82488af6061f087d12cf36b52eab5961707a3377749"


class Backy:
    """One installation in a folder of its own; `sync` None: the program has no such setting."""

    def __init__(self, name, title, program, folder, parallel, sync):
        self.name, self.title, self.program, self.sync = name, title, program, sync
        self.folder, self.parallel = os.path.join(folder, name), parallel
        self.store = os.path.join(self.folder, "data")
        self.database = os.path.join(self.folder, "backy.sqlite")

    def missing(self):
        """Why it cannot be measured, and what to do; None if it can."""
        if not self.program:
            return "PEER_BACKY2 does not name a program"
        if not shutil.which(self.program):
            return f"{self.program} cannot be run"
        return None

    def version(self):
        """What it says that it is."""
        text = output(Command([self.program, "--version"])).split()
        return text[-1] if text else "?"

    def settings(self):
        """For readers of the table."""
        sync = f", sync: {self.sync}" if self.sync else ""
        return f"simultaneous reads and writes {self.parallel}, zstd 1, AES-256-GCM, SHA-512{sync}"

    def configure(self, database=None, store="file"):
        """Writes the configuration, and returns how the program is called with it."""
        name = "backy.cfg" if database is None else f"backy-{os.path.basename(database)}.cfg"
        path = os.path.join(self.folder, name)
        sync = f"sync: {self.sync}\n" if self.sync else ""
        both = f"simultaneous_reads: {self.parallel}\nsimultaneous_writes: {self.parallel}\n"
        text = (
            f"[DEFAULTS]\nlogfile: {self.folder}/backy.log\nblock_size: {material.BLOCK}\nhash_function: sha512\n"
            f"lock_dir: {self.folder}/lock\ncachedir: {self.folder}/cache\nprocess_name: backy2-peers\n"
            f"disallow_rm_when_younger_than_days: 0\ndeduplication: 1\nencryption_key: {KEY}\n"
            "encryption_version: 1\n"
            f"[MetaBackend]\ntype: backy2.meta_backends.sql\nengine: sqlite:///{database or self.database}\n"
            f"[DataBackend]\ntype: backy2.data_backends.{store}\npath: {self.store}\n{both}"
            f"bandwidth_read: 0\nbandwidth_write: 0\n{sync}"
            f"[NBD]\ncachedir: {self.folder}/cache\n[io_file]\n{both}[io_null]\n{both}"
        )
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return [self.program, "-c", path]

    def reset(self):
        """Begins with an empty store and database."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for part in ("data", "lock", "cache"):
            os.makedirs(os.path.join(self.folder, part))
        output(Command(self.configure() + ["initdb"]))

    def is_ready(self):
        """Whether there is a backup."""
        return os.path.exists(self.database) and bool(os.listdir(self.store))

    def backup(self, image):
        """A backup that reads all of the image."""
        return Command(self.configure() + ["backup", f"file://{image}", "vm"])

    second = backup

    def restore(self, folder):
        """The newest backup to a new file in `folder`."""
        uid = material.newest_version(self.database)
        return Command(self.configure() + ["restore", uid, f"file://{folder}/restored"])

    def scrub(self):
        """Verifies the data of the newest backup."""
        return Command(self.configure() + ["scrub", material.newest_version(self.database)])

    def list(self, database=None):
        """Lists the backups."""
        return Command(self.configure(database) + ["ls"])

    def incremental(self, image, database, hints, base):
        """A backup of what hints name, into a store that keeps nothing."""
        arguments = ["backup"] if base is None else ["backup", "-r", hints, "-f", base]
        return Command(self.configure(database, "null") + arguments + [f"file://{image}", "vm"])

    def empty_database(self, path):
        """A database without versions."""
        os.makedirs(self.folder, exist_ok=True)
        for part in ("data", "lock", "cache"):
            os.makedirs(os.path.join(self.folder, part), exist_ok=True)
        for end in ("", "-wal", "-shm"):
            if os.path.exists(path + end):
                os.remove(path + end)
        output(Command(self.configure(path) + ["initdb"]))

    def large_database(self, folder, builder, versions, blocks, scattered):
        """The path of a database with so many versions of so many blocks: made once for each schema."""
        probe = os.path.join(folder, f"empty-{self.name}.sqlite")
        self.empty_database(probe)
        with_rows = material.has_old_schema(probe)
        schema = schema_of(probe)
        path = os.path.join(folder, f"large-{versions}x{blocks}-{scattered}-{schema}.sqlite")
        if not os.path.exists(path):
            unfinished = os.path.join(folder, "unfinished.sqlite")
            for end in ("", "-wal", "-shm"):
                if os.path.exists(unfinished + end):
                    os.remove(unfinished + end)
            if with_rows:
                os.rename(probe, unfinished)
                zeros = hashlib.sha512(bytes(material.BLOCK)).hexdigest()
                material.fill_old_schema(unfinished, versions, blocks, zeros, ENVKEY)
            else:
                builder.database(unfinished, versions, blocks, scattered)
            os.rename(unfinished, path)
        return path


def schema_of(database):
    """A short name for what the tables of a database are."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        texts = connection.execute("SELECT coalesce(sql, name) FROM sqlite_master ORDER BY name").fetchall()
    finally:
        connection.close()
    return hashlib.sha256(repr(texts).encode()).hexdigest()[:12]

"""Programs that a user could take instead."""

import base64
import os
import shutil

from .process import Command, output

DEBIAN = ["restic", "borgbackup", "e2fsprogs", "python3-venv"]
# benji 0.17 asks for a release of ruamel.yaml that does not compile with today's Python: its other requirements
# are as it names them.
BENJI = ["benji==0.17.0"]
BENJI_NEEDS = [
    "PrettyTable<1,>=0.7.2", "sqlalchemy<2,>=1.4.14", "setproctitle<2,>=1.1.8", "python-dateutil<3,>=2.6.0",
    "alembic<2,>=1.0.5", "ruamel.yaml<0.18", "psycopg2-binary<3,>=2.7.4", "argcomplete<2,>=1.9.4",
    "sparsebitfield<1,>=0.2.3", "cerberus<2,>=1.2", "pycryptodome<4,>=3.6.1", "pyparsing<3,>=2.3.0",
    "semantic-version<3,>=2.8.1", "dateparser<2,>=1.1.1", "structlog>=19.1.0", "colorama<1,>=0.4.1",
    "diskcache>=3.0.6", "attrs<22,>=21.4.0", "zstandard>=0.9.0", "setuptools<81",
]


def install(work):
    """Installs what can be had: Debian packages as root, benji into a folder of its own."""
    commands = [
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", *DEBIAN],
        ["python3", "-m", "venv", os.path.join(work, "benji")],
        [os.path.join(work, "benji/bin/pip"), "install", "-q", "--no-deps", *BENJI],
        [os.path.join(work, "benji/bin/pip"), "install", "-q", "--prefer-binary", *BENJI_NEEDS],
    ]
    for argv in commands:
        print(" ".join(argv), flush=True)
        output(Command(argv))


class Peer:
    """What they have in common: a folder with all that they store, and how many backups there are."""

    name = title = program = how = ""

    def __init__(self, folder):
        self.folder = os.path.join(folder, self.name)
        self.store = os.path.join(self.folder, "store")

    @property
    def count(self):
        """How many backups were made; kept in a file, for stores that are kept."""
        path = os.path.join(self.folder, "count")
        if not os.path.exists(path):
            return 0
        with open(path) as file:
            return int(file.read())

    @count.setter
    def count(self, value):
        with open(os.path.join(self.folder, "count"), "w") as file:
            file.write(str(value))

    def missing(self):
        """Why it cannot be measured, and what to do; None if it can."""
        return None if shutil.which(self.program) else f"{self.program} is not installed: {self.how}"

    def reset(self):
        """Begins with an empty store."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.store)
        self.count = 0
        output(self.initialise())

    def is_ready(self):
        """Whether there is a backup."""
        return self.count > 0

    def list(self):
        """Lists the backups."""
        raise NotImplementedError


class Restic(Peer):
    """restic, by its defaults."""

    name, title, program, how = "restic", "restic", "restic", "apt-get install restic"

    def version(self):
        return output(Command(["restic", "version"])).split()[1]

    def settings(self):
        return "its defaults: chunks by content, SHA-256, zstd `auto`, AES-256-CTR and Poly1305"

    def call(self, *arguments, cwd=None):
        environment = {
            "RESTIC_REPOSITORY": self.store, "RESTIC_PASSWORD": "peers",
            "RESTIC_CACHE_DIR": os.path.join(self.folder, "cache"),
        }
        return Command(["restic", "-q", *arguments], environment, cwd)

    def initialise(self):
        return self.call("init", "--repository-version", "2")

    def backup(self, image):
        self.count += 1
        return self.call("backup", image)

    def second(self, image):
        # Else it looks at the times of the file only.
        return self.call("backup", "--force", image)

    def restore(self, folder):
        return self.call("restore", "latest", "--target", folder)

    def scrub(self):
        return self.call("check", "--read-data")

    def list(self):
        return self.call("snapshots")


class Borg(Peer):
    """borg, with blocks of a fixed size as its manual advises for images."""

    name, title, program, how = "borg", "borg", "borg", "apt-get install borgbackup"

    def version(self):
        return output(Command(["borg", "--version"])).split()[-1]

    def settings(self):
        return "`repokey` (AES-256-CTR, HMAC-SHA256), zstd 1, fixed chunks of 4 MiB, no cache of files"

    def call(self, *arguments, cwd=None):
        environment = {
            "BORG_REPO": self.store, "BORG_PASSPHRASE": "peers", "BORG_BASE_DIR": os.path.join(self.folder, "base"),
        }
        return Command(["borg", *arguments], environment, cwd)

    def initialise(self):
        return self.call("init", "--encryption", "repokey")

    def backup(self, image):
        self.count += 1
        fixed = ["--chunker-params", "fixed,4194304", "--files-cache", "disabled"]
        return self.call("create", "--compression", "zstd,1", *fixed, f"::backup-{self.count}", image)

    second = backup

    def restore(self, folder):
        return self.call("extract", f"::backup-{self.count}", cwd=folder)

    def scrub(self):
        return self.call("check", "--verify-data")

    def list(self):
        return self.call("list")


class Benji(Peer):
    """benji, another successor of backy2."""

    name, title, how = "benji", "benji", "benches/peers --install"

    def __init__(self, folder, work):
        super().__init__(folder)
        own = os.path.join(work, "benji/bin/benji")
        self.program = own if os.path.exists(own) else "benji"
        self.config = os.path.join(self.folder, "benji.yaml")

    def version(self):
        python = os.path.join(os.path.dirname(shutil.which(self.program)), "python3")
        code = "import importlib.metadata as m; print(m.version('benji'))"
        return output(Command([python, "-c", code])).strip()

    def settings(self):
        return "its defaults (BLAKE2b, 3 reads and writes at once), zstd 1, AES-256-GCM"

    def call(self, *arguments):
        return Command([self.program, "-c", self.config, "--log-level", "WARNING", *arguments])

    def initialise(self):
        key = base64.b64encode(bytes([15]) * 32).decode()
        with open(self.config, "w") as file:
            file.write(
                "configurationVersion: '1'\n"
                f"databaseEngine: sqlite:///{self.folder}/benji.sqlite\n"
                "defaultStorage: store\nprocessName: benji-peers\ndisallowRemoveWhenYounger: 0\n"
                "storages:\n  - name: store\n    storageId: 1\n    module: file\n    configuration:\n"
                f"      path: {self.store}\n      activeTransforms: [compress, encrypt]\n"
                "transforms:\n  - name: compress\n    module: zstd\n    configuration: {level: 1}\n"
                "  - name: encrypt\n    module: aes_256_gcm\n    configuration:\n"
                f"      masterKey: {key}\n"
                "ios:\n  - name: file\n    module: file\n    configuration: {simultaneousReads: 3}\n"
            )
        return self.call("database-init")

    def uid(self):
        return f"backup-{self.count}"

    def backup(self, image):
        self.count += 1
        return self.call("backup", "-u", self.uid(), f"file:{image}", "vm")

    second = backup

    def restore(self, folder):
        return self.call("restore", self.uid(), f"file:{folder}/restored")

    def scrub(self):
        return self.call("deep-scrub", self.uid())

    def list(self):
        return self.call("ls")

//! Damaged blobs and rows, wrong settings, and missing stores: the behaviour of scrub, restore and the next backup.

mod blobs;
mod probes;
mod remote;
mod repair;
mod rows;
mod settings;
mod store;

use crate::common::database::Engine;
use crate::common::install::{Install, noise};

/// Block size in bytes.
const BLOCK: usize = 4096;
/// The number of the block whose blob is damaged.
const BAD: usize = 1;

/// Six blocks: the fourth one is zeros, the last one is short.
fn image() -> Vec<u8> {
    let mut data = noise(1, 5 * BLOCK + 1000);
    data[3 * BLOCK..4 * BLOCK].fill(0);
    data
}

/// The image with other data in one block.
fn changed(block: usize) -> Vec<u8> {
    let mut data = image();
    data[block * BLOCK..(block + 1) * BLOCK].copy_from_slice(&noise(100 + block as u64, BLOCK));
    data
}

/// An installation with three versions. `a` and `sharing` use the blob that will be damaged, `other` does not.
struct Store {
    install: Install,
    a: String,
    sharing: String,
    other: String,
}

impl Store {
    fn new(encryption: u8) -> Self {
        let install = Install::new(BLOCK as u32);
        install.set("encryption_version", &encryption.to_string());
        let a = install.backup(&[&install.image("a.img", &image()), "a"]);
        let sharing = install.backup(&[&install.image("b.img", &changed(4)), "sharing"]);
        let other = install.backup(&[&install.image("c.img", &changed(BAD)), "other"]);
        Store { install, a, sharing, other }
    }

    /// A second store with the same content.
    fn duplicate(&self) -> Self {
        Store {
            install: self.install.duplicate(),
            a: self.a.clone(),
            sharing: self.sharing.clone(),
            other: self.other.clone(),
        }
    }

    /// Whether each of the three versions is valid.
    fn valid(&self) -> [bool; 3] {
        [&self.a, &self.sharing, &self.other].map(|uid| self.install.is_valid(uid))
    }

    /// The uid of the blob that will be damaged.
    fn uid(&self) -> String {
        self.install.blob_uid(&self.a, BAD as u64)
    }

    /// Restores `a`, which must find damage. Returns the restored data and stderr.
    fn damaged_restore(&self) -> (Vec<u8>, String) {
        let _ = std::fs::remove_file(self.install.path("out"));
        let said = self.install.fails(20, &["restore", &self.a, &self.install.url("out")]);
        (std::fs::read(self.install.path("out")).expect("read"), said)
    }
}

/// Kinds of damage to a blob, or to its row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    Missing,
    Truncated,
    Empty,
    Flipped,
    Longer,
    /// A folder in place of the blob, which cannot be read.
    Folder,
    /// A symbolic link to itself.
    Circle,
    /// A symbolic link to a file outside the store that has the right data.
    Link,
    /// A FIFO. Opening it as a file would wait for ever.
    Fifo,
    ChecksumChanged,
    ChecksumShortened,
    SizeChanged,
    WrongUid,
    LongUid,
    UidThatIsAPath,
    KeyFlipped,
    KeyGarbage,
}

use Damage::*;

/// Damage possible in every encryption version.
const ANY: [Damage; 15] = [
    Missing,
    Truncated,
    Empty,
    Flipped,
    Longer,
    Folder,
    Circle,
    Link,
    Fifo,
    ChecksumChanged,
    ChecksumShortened,
    SizeChanged,
    WrongUid,
    LongUid,
    UidThatIsAPath,
];
/// Damage possible only in encryption version 1.
const KEYS: [Damage; 2] = [KeyFlipped, KeyGarbage];

/// Calls `test` for every kind of damage, each time with a separate store, in both encryption versions.
fn for_every_damage(test: impl Fn(Store, Damage, u8)) {
    for encryption in [0, 1] {
        let whole = Store::new(encryption);
        let keys = if encryption == 1 { &KEYS[..] } else { &[] };
        for damage in ANY.iter().chain(keys) {
            let store = whole.duplicate();
            damage.inflict(&store);
            test(store, *damage, encryption);
        }
    }
}

impl Damage {
    /// Damages the blob of block [`BAD`] of `a`.
    fn inflict(self, store: &Store) {
        let uid = store.uid();
        let file = store.install.blob(&uid);
        let data = std::fs::read(&file).expect("read");
        let write = |data: &[u8]| std::fs::write(&file, data).expect("write");
        let set = |what: &str| store.install.change(&format!("UPDATE blobs SET {what} WHERE uid = '{uid}'"));
        match self {
            Missing => std::fs::remove_file(&file).expect("removed"),
            Truncated => write(&data[..data.len() / 2]),
            Empty => write(b""),
            Flipped => write(&flipped(&data)),
            Longer => write(&[&data[..], b"abc"].concat()),
            Folder => {
                std::fs::remove_file(&file).expect("removed");
                std::fs::create_dir(&file).expect("mkdir");
            }
            Circle => {
                std::fs::remove_file(&file).expect("removed");
                std::os::unix::fs::symlink(&file, &file).expect("linked");
            }
            Link => {
                let outside = store.install.path("outside");
                std::fs::rename(&file, &outside).expect("moved");
                std::os::unix::fs::symlink(&outside, &file).expect("linked");
            }
            Fifo => {
                std::fs::remove_file(&file).expect("removed");
                let rights = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, rights, 0)
                    .expect("made");
            }
            ChecksumChanged => set("checksum = replace(replace(checksum, 'a', 'b'), '1', '2')"),
            ChecksumShortened => set("checksum = substr(checksum, 1, 100)"),
            SizeChanged => set("size = 4095"),
            WrongUid => set("uid = '0123456789abcdefghijklmnopqrstuv'"),
            LongUid => set(&format!("uid = '{}'", long_uid(store.install.engine()))),
            UidThatIsAPath => set("uid = '../../backy.cfg'"),
            KeyFlipped => set("enc_envkey = replace(replace(enc_envkey, 'a', 'b'), '1', '2')"),
            KeyGarbage => set("enc_envkey = 'garbage'"),
        }
    }

    /// The data that can still be restored: with version 0 the bytes that are there, with version 1 only verified data.
    fn salvage(self, version: u8) -> Vec<u8> {
        let good = &image()[BAD * BLOCK..(BAD + 1) * BLOCK];
        let zeros = vec![0; BLOCK];
        match (self, version) {
            (ChecksumChanged | ChecksumShortened | SizeChanged, _) => good.to_vec(),
            (Flipped, 0) => flipped(good),
            // Data of another length could be anything.
            _ => zeros,
        }
    }
}

/// A name as long as the column allows.
fn long_uid(engine: Engine) -> String {
    match engine {
        Engine::Sqlite => "x".repeat(300),
        Engine::Postgres => "ß".repeat(32),
    }
}

/// Flips one bit in the middle.
fn flipped(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let middle = data.len() / 2;
    data[middle] ^= 0x10;
    data
}

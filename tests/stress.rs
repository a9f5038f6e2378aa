//! Many processes at random, some of them killed: afterwards everything that is valid is right, and no blob is lost
//! or left over. Eight seconds; a minute with `BACKY2_TESTS=all`.

mod common;

use common::checks::seed;
use common::install::{Install, Run, noise};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const BLOCK: usize = 16 << 10;
const WORKERS: u64 = 4;
/// Versions, so that all of them can be verified in the end.
const MOST: usize = 25;

/// What a version must hold.
#[derive(Clone)]
struct Expected {
    image: Arc<Vec<u8>>,
    /// Its backup has told that it came to its end.
    complete: bool,
}

/// What all workers share.
struct World {
    install: Install,
    versions: Mutex<BTreeMap<String, Expected>>,
    /// How often something ended in some way.
    tally: Mutex<BTreeMap<String, u64>>,
}

/// One thread that runs one process after the other.
struct Worker<'w> {
    world: &'w World,
    number: u64,
    random: fastrand::Rng,
    image: Vec<u8>,
}

/// Why a command may be refused while others run.
const REASONS: [&str; 7] = [
    "is locked: another backy",
    "not found",
    "base on an invalid version",
    "cannot continue a valid version",
    "requires exclusive access",
    "Another backy cleanup is running",
    "Other backy instances are running",
];

impl World {
    /// A version at random, or `None` as long as there is none.
    fn any(&self, random: &mut fastrand::Rng) -> Option<(String, Expected)> {
        let versions = self.versions.lock().expect("fine");
        let chosen = random.usize(0..versions.len().max(1));
        versions.iter().nth(chosen).map(|(uid, expected)| (uid.clone(), expected.clone()))
    }

    /// Notes what the command printed of a version that it made or continued.
    fn note(&self, uid: &str, image: &[u8], complete: bool) {
        let mut versions = self.versions.lock().expect("fine");
        let known = versions.entry(uid.to_owned());
        let image = || Expected { image: Arc::new(image.to_vec()), complete: false };
        known.or_insert_with(image).complete |= complete;
    }
}

impl Worker<'_> {
    fn work(mut self, until: Instant) {
        while Instant::now() < until {
            match self.random.u8(0..16) {
                0..5 => self.backup(),
                5 | 6 => self.resume(),
                7 | 8 => self.restore(),
                9 | 10 => self.scrub(),
                11 | 12 => self.remove(),
                13 => drop(self.run("cleanup", &["cleanup"])),
                14 => drop(self.run("cleanup without grace", &["cleanup", "--dangerous-force"])),
                _ => drop(self.run("full cleanup", &["cleanup", "--full"])),
            }
        }
    }

    /// Runs a command, or kills it after a while. It may be refused for a reason, and must not fail otherwise.
    fn run(&mut self, kind: &str, args: &[&str]) -> Run {
        let install = &self.world.install;
        let run = match self.random.u8(0..4) {
            0 => install.killed_after(Duration::from_millis(self.random.u64(0..40)), args),
            _ => install.run(args),
        };
        let end = match run.code {
            -1 => "killed",
            0 => "done",
            20 => "incomplete",
            100 if REASONS.iter().any(|reason| run.stderr.contains(reason)) => "refused",
            _ => panic!("{args:?}: {run:?}"),
        };
        *self.world.tally.lock().expect("fine").entry(format!("{kind}: {end}")).or_default() += 1;
        run
    }

    /// Changes some blocks, and sometimes the size, of the worker's image or that of some version.
    fn change(&mut self, from: Option<&Expected>) {
        if let Some(expected) = from {
            self.image = expected.image.to_vec();
        }
        if self.random.u8(0..4) == 0 {
            let blocks = self.random.usize(20..60);
            self.image.resize(blocks * BLOCK + self.random.usize(0..BLOCK), 7);
        }
        for _ in 0..self.random.usize(0..30) {
            let at = self.random.usize(0..self.image.len() / BLOCK) * BLOCK;
            let block = &mut self.image[at..at + BLOCK];
            match self.random.u8(0..6) {
                0 => block.fill(0),
                // Blocks that other versions have too.
                1..4 => block.copy_from_slice(&noise(self.random.u64(0..60), BLOCK)),
                _ => self.random.fill(block),
            }
        }
    }

    fn write_image(&self) -> String {
        let name = format!("image{}", self.number);
        std::fs::write(self.world.install.path(&name), &self.image).expect("written");
        self.world.install.url(&name)
    }

    fn backup(&mut self) {
        if self.world.versions.lock().expect("fine").len() >= MOST {
            return self.remove();
        }
        let base = self.world.any(&mut self.random);
        self.change(base.as_ref().map(|(_, expected)| expected));
        let (source, name) = (self.write_image(), format!("vm{}", self.number));
        let hints = self.world.install.text(&format!("hints{}", self.number));
        let run = match base.filter(|_| self.random.bool()) {
            Some((uid, expected)) => {
                std::fs::write(&hints, differences(&expected.image, &self.image)).expect("written");
                self.run("backup with hints", &["-m", "backup", "-r", &hints, "-f", &uid, &source, &name])
            }
            None => self.run("backup", &["-m", "backup", &source, &name]),
        };
        if let Some(uid) = run.stdout.lines().next().filter(|uid| uid.len() == 36) {
            self.world.note(uid, &self.image, run.code == 0);
        }
    }

    /// Continues a version that some killed backup has left.
    fn resume(&mut self) {
        let Some((uid, expected)) = self.world.any(&mut self.random) else { return };
        self.image = expected.image.to_vec();
        let source = self.write_image();
        let run = self.run("backup continued", &["-m", "backup", "-c", &uid, &source, "vm"]);
        if run.code == 0 {
            self.world.note(&uid, &expected.image, true);
        }
    }

    fn restore(&mut self) {
        let Some((uid, expected)) = self.world.any(&mut self.random) else { return };
        let name = format!("out{}", self.number);
        let target = self.world.install.url(&name);
        // Onto old garbage, all of which must go.
        std::fs::write(self.world.install.path(&name), vec![0xaa; expected.image.len()]).expect("written");
        let run = self.run("restore", &["restore", "-f", &uid, &target]);
        assert!(run.code != 20 || !expected.complete, "{uid} was complete: {run:?}");
        if run.code == 0 {
            let restored = std::fs::read(self.world.install.path(&name)).expect("read");
            assert!(restored == *expected.image, "{uid} was restored wrong");
        }
    }

    fn scrub(&mut self) {
        let Some((uid, expected)) = self.world.any(&mut self.random) else { return };
        let run = self.run("scrub", &["scrub", &uid]);
        assert!(run.code != 20 || !expected.complete, "{uid} was complete: {run:?}");
    }

    fn remove(&mut self) {
        let Some((uid, _)) = self.world.any(&mut self.random) else { return };
        let run = self.run("rm", &["rm", &uid]);
        if run.code == 0 {
            self.world.versions.lock().expect("fine").remove(&uid);
        }
    }
}

/// Hints that say where `new` differs from `old`.
fn differences(old: &[u8], new: &[u8]) -> String {
    let mut hints = Vec::new();
    for (n, block) in new.chunks(BLOCK).enumerate() {
        let at = n * BLOCK;
        if old.get(at..at + block.len()) != Some(block) {
            let exists = block.iter().any(|&byte| byte != 0);
            hints.push(format!(r#"{{"offset": {at}, "length": {}, "exists": {exists}}}"#, block.len()));
        }
    }
    format!("[{}]", hints.join(", "))
}

/// All that is valid is right; what is not can be completed; and nothing is left over.
fn assert_all_is_right(world: &World) {
    let install = &world.install;
    install.assert_sound();
    let versions = world.versions.lock().expect("fine").clone();
    for uid in install.uids(&[]) {
        // A version that was killed before it could tell its uid has no row yet.
        let Some(expected) = versions.get(&uid) else {
            assert_eq!(install.rows(&uid), 0, "{uid} is known to nobody");
            install.ok(&["rm", &uid]);
            continue;
        };
        let valid = install.count(&format!("SELECT valid FROM versions WHERE uid = '{uid}'"));
        assert!(valid == 1 || !expected.complete, "{uid} was complete and is not valid any more");
        if valid == 0 {
            std::fs::write(install.path("image"), &expected.image[..]).expect("written");
            install.backup(&["-c", &uid, &install.url("image"), "vm"]);
        }
        install.ok(&["scrub", &uid]);
        assert!(install.restored(&uid, "out") == *expected.image, "{uid}");
    }
    install.ok(&["cleanup", "--dangerous-force"]);
    install.ok(&["cleanup", "--full"]);
    install.assert_no_waste();
    assert_eq!(install.count("SELECT count(*) FROM deleted_blocks"), 0);
    install.assert_sound();
}

#[test]
fn after_many_processes_at_random_everything_valid_is_right() {
    let seed = seed("after_many_processes_at_random");
    let world =
        World { install: Install::new(BLOCK as u32), versions: Mutex::default(), tally: Mutex::default() };
    let time = Duration::from_secs(if common::all() { 60 } else { 8 });
    let until = Instant::now() + time;
    std::thread::scope(|scope| {
        for number in 0..WORKERS {
            let random = fastrand::Rng::with_seed(seed + number);
            let worker = Worker { world: &world, number, random, image: noise(seed, 40 * BLOCK) };
            scope.spawn(move || worker.work(until));
        }
    });
    let tally = world.tally.lock().expect("fine").clone();
    println!("{tally:#?}");
    for kind in ["backup", "backup with hints", "backup continued", "restore", "scrub", "rm", "cleanup"] {
        assert!(tally.contains_key(&format!("{kind}: done")), "no {kind} came to its end");
    }
    assert_all_is_right(&world);
}

//! Many processes at random, some of which are killed. Afterwards all valid versions are correct, and no blob is lost
//! or left over. Each engine is tested for 8 seconds, with `BACKY2_TESTS=all` for a minute, or for
//! `BACKY2_STRESS_SECONDS`.
//!
//! With SQLite all processes share one configuration, as on one host. With PostgreSQL each worker has its own folder of
//! locks and its own process name, as on several hosts: only the database keeps them apart.

mod common;

use common::checks::seed;
use common::database::Engine;
use common::install::{Install, Run, noise};
use common::postgres::{Database, Server};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

const BLOCK: usize = 16 << 10;
const WORKERS: u64 = 8;
/// The most versions at a time; all of them are verified at the end.
const MOST: usize = 25;

/// The expected state of a version.
#[derive(Clone)]
struct Expected {
    image: Arc<Vec<u8>>,
    /// Its backup has reported success.
    complete: bool,
}

/// State that all workers share.
struct World {
    install: Install,
    versions: Mutex<BTreeMap<String, Expected>>,
    /// Every command holds it for reading; a command that must be alone holds it for writing.
    turn: RwLock<()>,
    /// How often each kind of command ended in each way.
    tally: Mutex<BTreeMap<String, u64>>,
}

/// A thread that runs one process after the other.
struct Worker<'w> {
    world: &'w World,
    number: u64,
    /// The path of its configuration.
    config: String,
    random: fastrand::Rng,
    image: Vec<u8>,
}

/// Reasons for which a command may be refused while others run.
const REASONS: [&str; 7] = [
    "is locked: another backy",
    "not found",
    "base on an invalid version",
    "cannot continue a valid version",
    "requires exclusive access",
    "Another backy cleanup is running",
    "Other backy instances are running",
];

/// Kinds of commands that must succeed at least once.
const KINDS: [&str; 8] =
    ["backup", "backup with hints", "backup continued", "restore", "scrub", "rm", "cleanup", "full cleanup"];

impl World {
    /// A kind of command that has not succeeded yet.
    fn lacking(&self) -> Option<&'static str> {
        let tally = self.tally.lock().expect("fine");
        KINDS.into_iter().find(|kind| !tally.contains_key(&format!("{kind}: done")))
    }

    /// A random version, or `None` if there is none.
    fn any(&self, random: &mut fastrand::Rng) -> Option<(String, Expected)> {
        self.some(random, |_| true)
    }

    /// A random version that `fits`.
    fn some(&self, random: &mut fastrand::Rng, fits: fn(&Expected) -> bool) -> Option<(String, Expected)> {
        let versions = self.versions.lock().expect("fine");
        let fitting: Vec<_> = versions.iter().filter(|(_, expected)| fits(expected)).collect();
        random.choice(fitting).map(|(uid, expected)| (uid.clone(), expected.clone()))
    }

    /// Notes the content of a version that a backup has made or continued.
    fn note(&self, uid: &str, image: &[u8], complete: bool) {
        let mut versions = self.versions.lock().expect("fine");
        let known = versions.entry(uid.to_owned());
        let image = || Expected { image: Arc::new(image.to_vec()), complete: false };
        known.or_insert_with(image).complete |= complete;
    }
}

impl Worker<'_> {
    fn work(mut self, until: Instant) {
        // On a busy machine it takes longer until every kind has succeeded.
        let latest = until + duration() * 4;
        while Instant::now() < until || (Instant::now() < latest && self.world.lacking().is_some()) {
            // Waits while another worker's full cleanup runs alone.
            let turn = self.world.turn.read().expect("fine");
            let what = self.random.u8(0..17);
            if what == 16 {
                drop(turn);
                let _alone = self.world.turn.write().expect("fine");
                self.full_cleanup();
                continue;
            }
            match what {
                0..5 => self.backup(),
                5 | 6 => self.resume(),
                7 | 8 => self.restore(),
                9 | 10 => self.scrub(),
                11 | 12 => self.remove(),
                13 => drop(self.run("cleanup", &["cleanup"])),
                14 => drop(self.run("cleanup without grace", &["cleanup", "--dangerous-force"])),
                _ => self.full_cleanup(),
            }
        }
    }

    /// Runs a command, or kills it after a while. It may be refused for one of the [`REASONS`]; other errors panic.
    fn run(&mut self, kind: &str, args: &[&str]) -> Run {
        let install = &self.world.install;
        let args = &[&["-c", &self.config], args].concat()[..];
        // Commands take longer if they have to connect to a server.
        let longest = if install.engine() == Engine::Sqlite { 40 } else { 200 };
        let run = match self.random.u8(0..4) {
            0 => install.killed_after(Duration::from_millis(self.random.u64(0..longest)), args),
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

    /// Changes some blocks, and sometimes the size, of the worker's image or of the image `from`.
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
                // Blocks that other versions have, too.
                1..4 => block.copy_from_slice(&noise(self.random.u64(0..60), BLOCK)),
                _ => self.random.fill(block),
            }
        }
    }

    fn full_cleanup(&mut self) {
        // Killed backups leave blobs, and removals leave few versions.
        self.run("full cleanup", &["cleanup", "--full", "--dangerous-force"]);
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

    /// Tries to continue a version that a killed backup has left.
    fn resume(&mut self) {
        let unfinished = self.world.some(&mut self.random, |expected| !expected.complete);
        let Some((uid, expected)) = unfinished.or_else(|| self.world.any(&mut self.random)) else { return };
        self.image = expected.image.to_vec();
        let source = self.write_image();
        // A version that was killed at once, or has been removed, has no name.
        let name = name_of(&self.world.install, &uid);
        let run = self.run("backup continued", &["-m", "backup", "-c", &uid, &source, &name]);
        if run.code == 0 {
            self.world.note(&uid, &expected.image, true);
        }
    }

    fn restore(&mut self) {
        let Some((uid, expected)) = self.world.any(&mut self.random) else { return };
        let name = format!("out{}", self.number);
        let target = self.world.install.url(&name);
        // Restores over old garbage, which must all be replaced.
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

/// Hints for the blocks in which `new` differs from `old`.
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

/// All valid versions are correct, invalid ones can be completed, and nothing is left over.
fn assert_all_is_right(world: &World) {
    let install = &world.install;
    install.assert_sound();
    let versions = world.versions.lock().expect("fine").clone();
    for uid in install.uids(&[]) {
        // A backup that was killed before it printed its uid has stored no rows yet.
        let Some(expected) = versions.get(&uid) else {
            assert_eq!(install.rows(&uid), 0, "{uid} is known to nobody");
            install.ok(&["rm", &uid]);
            continue;
        };
        let valid = install.count(&format!("SELECT valid FROM versions WHERE uid = '{uid}'"));
        assert!(valid == 1 || !expected.complete, "{uid} was complete and is not valid any more");
        if valid == 0 {
            std::fs::write(install.path("image"), &expected.image[..]).expect("written");
            install.backup(&["-c", &uid, &install.url("image"), &name_of(install, &uid)]);
        }
        install.ok(&["scrub", &uid]);
        assert!(install.restored(&uid, "out") == *expected.image, "{uid}");
    }
    install.ok(&["cleanup", "--dangerous-force"]);
    install.ok(&["cleanup", "--full", "--dangerous-force"]);
    install.assert_no_waste();
    let known: BTreeSet<String> = install.texts("SELECT uid FROM blobs WHERE id > 0").into_iter().collect();
    assert!(
        known == install.stored_uids(),
        "the database knows blobs that are not stored, or the other way round"
    );
    assert_eq!(install.count("SELECT count(*) FROM deleted_blocks"), 0);
    install.assert_sound();
}

/// How long the workers run.
fn duration() -> Duration {
    let given = std::env::var("BACKY2_STRESS_SECONDS").ok();
    let given = given.map(|text| text.parse().expect("BACKY2_STRESS_SECONDS is a number"));
    Duration::from_secs(given.unwrap_or(if common::all() { 60 } else { 8 }))
}

/// Runs the workers, which take turns with the configurations, and checks the result.
fn stress(install: Install, configs: &[String]) {
    // Two such tests at the same time would each get half of the processor.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|error| error.into_inner());
    let seed = seed("after_many_processes_at_random");
    let world =
        World { install, versions: Mutex::default(), turn: RwLock::default(), tally: Mutex::default() };
    let until = Instant::now() + duration();
    std::thread::scope(|scope| {
        for (number, config) in (0..WORKERS).zip(configs) {
            let random = fastrand::Rng::with_seed(seed + number);
            let image = noise(seed, 40 * BLOCK);
            let worker = Worker { world: &world, number, config: config.clone(), random, image };
            scope.spawn(move || worker.work(until));
        }
    });
    let tally = world.tally.lock().expect("fine").clone();
    println!("{tally:#?}");
    assert_eq!(world.lacking(), None, "came to its end");
    assert_all_is_right(&world);
}

#[test]
fn after_many_processes_at_random_everything_valid_is_right() {
    let install = Install::new(BLOCK as u32);
    let config = install.text("backy.cfg");
    stress(install, &vec![config; WORKERS as usize]);
}

#[test]
fn after_many_processes_of_several_hosts_everything_valid_is_right() {
    const NAME: &str = "after_many_processes_of_several_hosts_everything_valid_is_right";
    let Some(server) = Server::get(NAME) else { return };
    let install = Install::on_server(BLOCK as u32, Database::new(&server));
    let configs: Vec<String> =
        (0..WORKERS).map(|number| install.another_host(&format!("h{number}"))).collect();
    stress(install, &configs);
}

/// The name of a version; `vm` if it is gone.
fn name_of(install: &Install, uid: &str) -> String {
    let names = install.texts(&format!("SELECT name FROM versions WHERE uid = '{uid}'"));
    names.into_iter().next().unwrap_or_else(|| "vm".to_owned())
}

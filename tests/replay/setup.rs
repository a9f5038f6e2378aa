//! Does the work between the recorded steps. Those commands were not recorded; these lead to the same state.
//!
//! Where this program succeeds and 2.13 failed, the database is set back to the state that 2.13 left, so that the next
//! steps can be compared.

use super::stage::Stage;
use super::{damage, images};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::BufRead;
use std::process::Child;
use std::time::Duration;

const RND: &str = "432db764-e504-11f1-90ca-02fc00000001";
const CONT: &str = "4c05261a-e504-11f1-90ca-02fc00000001";
const SLOW: &str = "eb1f53b0-e504-11f1-90ca-02fc00000001";
const TAGDUP: &str = "4ef1b99c-e504-11f1-90ca-02fc00000001";
const SIG2: &str = "a936d8a4-e506-11f1-90ca-02fc00000001";
/// The file of a blob without a row.
const ORPHAN: &str = "f26fe5e0e4ABCDEFGHJKLMNPQRSTUVWX.blob";

/// State that is kept from one step to the next.
pub struct Setup {
    running: Option<Child>,
    lock: Option<fs::File>,
}

impl Setup {
    /// Makes the images and the hints files.
    pub fn new(stage: &Stage) -> Self {
        images::write(stage);
        Setup { running: None, lock: None }
    }

    /// Recorded uids of versions that a step made without printing their uids.
    pub fn uids(&self, number: u32) -> Option<Vec<String>> {
        let uids: &[&str] = match number {
            56 => &["47e91de8-e504-11f1-90ca-02fc00000001"],
            263 => &["4a36925a-e505-11f1-90ca-02fc00000001"],
            _ => return None,
        };
        Some(uids.iter().map(|&uid| uid.to_owned()).collect())
    }

    /// The preparations for a step.
    pub fn before(&mut self, number: u32, stage: &mut Stage) {
        match number {
            0..=170 => before_backups(number, stage),
            171..=220 => self.before_cleanup_and_locks(number, stage),
            221..=253 => damage::before(number, stage),
            254..=329 => before_import_and_schedule(number, stage),
            _ => before_the_rest(number, stage),
        }
    }

    /// The work after a step.
    pub fn after(&mut self, number: u32, stage: &mut Stage) {
        let of = |text: &str| format!("version_uid = '{text}'");
        match number {
            // Remove the version that 2.13 did not make.
            54 => forget(stage, "00000000-0000-0000-0054-000000000001"),
            91 => forget(stage, "00000000-0000-0000-0091-000000000001"),
            // 2.13 left this version empty.
            56 => {
                let these = of("47e91de8-e504-11f1-90ca-02fc00000001");
                stage.sql(
                    "t1",
                    &format!(
                        "DELETE FROM blocks WHERE {these}; DELETE FROM tags WHERE {these};
                         DELETE FROM stats WHERE {these}; UPDATE versions SET valid = 0 WHERE name = 'hintbig';"
                    ),
                );
            }
            // 2.13 has made it valid.
            173 => set_valid(stage, TAGDUP, 1),
            // Remove the versions, and restore those that 2.13 left behind instead.
            269 => {
                for number in 1..3 {
                    forget(stage, &format!("00000000-0000-0000-0269-{number:012}"));
                }
                for uid in ["4c6c0bae-e505-11f1-90ca-02fc00000001", "4ca91a8a-e505-11f1-90ca-02fc00000001"] {
                    stage.sql(
                        "t1",
                        &format!(
                            "INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
                             VALUES ('{uid}', datetime('now') || '.000000', 'rnd', '', 10, 41943040, 0, 0)"
                        ),
                    );
                    stage.learn(&[uid.to_owned()], "269");
                }
            }
            _ => {}
        }
    }

    fn before_cleanup_and_locks(&mut self, number: u32, stage: &mut Stage) {
        match number {
            172 => set_valid(stage, TAGDUP, 0),
            188 => {
                let uid = "4f43f9fa-e504-11f1-90ca-02fc00000001";
                stage.sql(
                    "t1",
                    &format!("UPDATE versions SET date = '2026-01-01 00:00:00' WHERE uid = '{uid}'"),
                );
            }
            // 2.13's backup with wrong hints left a blob without a row.
            193 => {
                let folder = stage.path("t1/data/f2/6f");
                fs::create_dir_all(&folder).expect("mkdir");
                fs::write(folder.join(ORPHAN), "x").expect("write");
            }
            196 => {
                let folder = stage.path("t1/data/zz/zz");
                fs::create_dir_all(&folder).expect("mkdir");
                fs::write(stage.path("t1/data/zz/other.txt"), "x").expect("write");
                fs::write(folder.join("zzzzAAAAAAbbbbbbbbbbbbbbbbbbbbbb.blob"), "x").expect("write");
            }
            200 => {
                variant(
                    stage,
                    "backy.cfg",
                    "slow.cfg",
                    "[DataBackend]\n",
                    "[DataBackend]\nbandwidth_write: 1048576\n",
                );
                self.running = Some(start_backup(stage, "slow.cfg", "slow.img", "slowbk", SLOW));
            }
            202 => {
                interrupt(self.running.take().expect("started"));
                backup(stage, &format!("slow.img slowbk -c {SLOW}"), SLOW);
                let path = stage.path(&stage.here(&format!("t1/lock/backy_{SLOW}.lock")));
                let lock = fs::File::create(path).expect("a lock file");
                flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("free");
                self.lock = Some(lock);
            }
            210 => {
                self.lock = None;
                // The commands write these files with `>`, which keeps their mode.
                for name in ["nolock", "nolog", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "wk", "nk", "rk"] {
                    stage.write_private(&format!("{name}.cfg"), "");
                }
            }
            _ => {}
        }
    }
}

fn before_backups(number: u32, stage: &mut Stage) {
    match number {
        // 2.13 has made this backup with hints of another image.
        58 => backup(
            stage,
            &format!("rnd40.img hintempty -r hempty.json -f {RND}"),
            "4839ac5e-e504-11f1-90ca-02fc00000001",
        ),
        51 => {
            backup(stage, "rnd40.img rndv", "4482fea8-e504-11f1-90ca-02fc00000001");
            backup(stage, "rnd40.img rndd", "44ea49f0-e504-11f1-90ca-02fc00000001");
        }
        66 => {
            backup(stage, "rnd40.img cont", CONT);
            stage.sql("t1", &format!("DELETE FROM blocks WHERE version_uid = '{CONT}' AND id > 5"));
            set_valid(stage, CONT, 0);
        }
        89 => backup(stage, "odd.img odd", "52bd09f0-e504-11f1-90ca-02fc00000001"),
        _ => {}
    }
}

fn before_import_and_schedule(number: u32, stage: &mut Stage) {
    match number {
        278 | 284 | 285 | 286 => rm(stage, RND),
        280 => rm(stage, "54fb2b34-e504-11f1-90ca-02fc00000001"),
        283 => rm(stage, "4fed4a28-e504-11f1-90ca-02fc00000001"),
        318 => stage.prepare(&format!("backy2 -m -c @CFG@/backy.cfg add-tag {RND} daily,weekly"), &[]),
        319 => {
            stage.sql("t1", &format!("UPDATE versions SET date = '2020-01-01 00:00:00' WHERE uid = '{RND}'"))
        }
        327 => {
            for uid in ["661a2f22", "6677d500", "66d3ef3e"] {
                backup(stage, "odd.img rnd -t daily", &format!("{uid}-e505-11f1-90ca-02fc00000001"));
            }
        }
        _ => {}
    }
}

fn before_the_rest(number: u32, stage: &mut Stage) {
    match number {
        330 => {
            // One block of the image is known.
            stage.prepare("tail -c 4194304 other40.img > tail.img", &[]);
            backup(stage, "tail.img sig1", "00000000-0000-0000-0330-000000000001");
            interrupted_backup(stage);
        }
        // 2.13 has made this backup under another name.
        332 => {
            let again =
                format!("backy2 -m -c @CFG@/backy.cfg backup -t c1 -c {SIG2} file://@DIR@/other40.img sig2");
            stage.prepare(&again, &[]);
        }
        333 => variant(stage, "backy.cfg", "@DIR@/wr.cfg", "@DIR@/t1/data", "@DIR@/notadir"),
        336 => backup(stage, "dups.img dups", "b03c5dc2-e506-11f1-90ca-02fc00000001"),
        340 => {
            for (name, folder) in [("A", "relA"), ("B", "relB"), ("D", "relD")] {
                stage.fixture(name, folder);
            }
            stage.prepare("backy2 -m -c @CFG@/imp.cfg initdb", &[]);
        }
        _ => {}
    }
}

/// Interrupts a backup; two of its rows are kept, and its statistics are not.
fn interrupted_backup(stage: &mut Stage) {
    let slow = "[DataBackend]\nbandwidth_write: 8388608\n";
    variant(stage, "backy.cfg", "sig.cfg", "[DataBackend]\n", slow);
    let child = start_backup(stage, "sig.cfg", "other40.img", "sig2", SIG2);
    let count = format!("SELECT CAST(count(*) AS text) FROM blocks WHERE version_uid = '{SIG2}' AND id < 9");
    let mut waited = 0;
    while stage.ask("t1", &count).parse::<u32>().expect("a number") < 2 {
        std::thread::sleep(Duration::from_millis(20));
        waited += 1;
        assert!(waited < 1000, "no rows");
    }
    interrupt(child);
    let kept = format!("SELECT id FROM blocks WHERE version_uid = '{SIG2}' AND id < 9 ORDER BY id LIMIT 2");
    stage.sql(
        "t1",
        &format!(
            "DELETE FROM blocks WHERE version_uid = '{SIG2}' AND id NOT IN ({kept});
             DELETE FROM stats WHERE version_uid = '{SIG2}';"
        ),
    );
}

/// Interrupts a process like Ctrl-C.
fn interrupt(mut child: Child) {
    kill_process(Pid::from_child(&child), Signal::INT).expect("runs");
    assert_eq!(child.wait().expect("ended").code(), Some(130));
}

/// Starts a backup in the background and waits until its version exists.
fn start_backup(stage: &mut Stage, config: &str, image: &str, name: &str, uid: &str) -> Child {
    let mut child = stage.start(&format!("exec backy2 -m -c {config} backup file://@DIR@/{image} {name}"));
    let mut line = String::new();
    let output = child.stdout.as_mut().expect("piped");
    std::io::BufReader::new(output).read_line(&mut line).expect("a uid");
    stage.learn(&[uid.to_owned()], "setup");
    child
}

/// A configuration in `@DIR@` with one text replaced.
fn variant(stage: &Stage, from: &str, to: &str, old: &str, new: &str) {
    let text = fs::read_to_string(stage.here(&format!("@CFG@/{from}"))).expect("read");
    let old = stage.here(old);
    assert!(text.contains(&old), "{old}");
    stage.write_private(&stage.here(to), &text.replace(&old, new));
}

fn backup(stage: &mut Stage, what: &str, uid: &str) {
    stage.prepare(&format!("backy2 -m -c @CFG@/backy.cfg backup file://@DIR@/{what}"), &[uid]);
}

fn rm(stage: &mut Stage, uid: &str) {
    stage.prepare(&format!("backy2 -m -c @CFG@/backy.cfg rm -f {uid}"), &[]);
}

fn set_valid(stage: &Stage, uid: &str, valid: u8) {
    stage.sql("t1", &format!("UPDATE versions SET valid = {valid} WHERE uid = '{uid}'"));
}

/// Removes a version from the database as if it had never been made.
fn forget(stage: &Stage, uid: &str) {
    stage.sql(
        "t1",
        &format!(
            "DELETE FROM stats WHERE version_uid = '{uid}'; DELETE FROM tags WHERE version_uid = '{uid}';
             DELETE FROM blocks WHERE version_uid = '{uid}'; DELETE FROM versions WHERE uid = '{uid}';"
        ),
    );
}

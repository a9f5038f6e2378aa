//! The commands, and the conditions that must hold after each fault.

use super::calls::{CALLS, Site};
use super::tracer::{Counts, Fault, Traced, run};
use crate::common::install::{Install, noise};
use crate::common::{all, skip};
use std::sync::LazyLock;

const BLOCK: u32 = 4096;
/// In the short form, at most this many calls of each kind are tried, with one error each.
const FEW: usize = 2;
/// In the long form, this many, with every error. `BACKY2_SWEEP=NUMBER` tries more; a large number tries every call.
const MANY: usize = 6;

/// Ten blocks: data, a hole, the same data again.
fn image(seed: u64) -> Vec<u8> {
    let block = BLOCK as usize;
    let mut data = noise(seed, 6 * block);
    data.extend(vec![0; 2 * block]);
    data.extend_from_within(..block);
    data.extend(noise(seed + 1, block / 2));
    data
}

/// An image that shares some blocks with `image(1)`.
fn changed() -> Vec<u8> {
    let mut data = image(1);
    let block = BLOCK as usize;
    data[block..3 * block].copy_from_slice(&noise(9, 2 * block));
    data
}

/// An installation with two versions of `vm`, and the uid of the first.
struct Ground {
    install: Install,
    first: String,
}

static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    let install = Install::new(BLOCK);
    install.set_in("DataBackend", "sync", "filesystem");
    let source = install.image("vm.img", &image(1));
    let first = install.backup(&[&source, "vm"]);
    let mut shared = image(1);
    shared[..BLOCK as usize].copy_from_slice(&noise(7, BLOCK as usize));
    install.image("other.img", &shared);
    install.backup(&[&install.url("other.img"), "other"]);
    install.image("vm.img", &changed());
    Ground { install, first }
});

/// The uids of the versions with that name, and whether each is valid.
fn versions(install: &Install, name: &str) -> Vec<(String, bool)> {
    let sql =
        format!("SELECT uid || CASE WHEN valid THEN '+' ELSE '-' END FROM versions WHERE name LIKE '{name}'");
    let split = |text: String| (text[..text.len() - 1].to_owned(), text.ends_with('+'));
    install.texts(&sql).into_iter().map(split).collect()
}

/// The data that a restore of the version must give.
fn expected(uid: &str, name: &str) -> Vec<u8> {
    match (name, uid == GROUND.first) {
        ("other", _) => std::fs::read(GROUND.install.path("other.img")).expect("read"),
        (_, true) => image(1),
        (_, false) => changed(),
    }
}

/// Chooses the calls to try.
fn faults(counts: &Counts) -> Vec<Fault> {
    let wanted = std::env::var("BACKY2_SWEEP").ok().and_then(|number| number.parse().ok());
    let most: usize = wanted.unwrap_or(if all() { MANY } else { FEW });
    let mut chosen = Vec::new();
    for ((call, class), &count) in counts {
        let errors = CALLS.iter().find(|c| c.name == *call).expect("known").errors;
        let errors = if all() || wanted.is_some() { errors } else { &errors[..1] };
        // The first one, the last one, and some in between.
        let picked =
            (0..count.min(most)).map(|n| if count <= most { n } else { n * (count - 1) / (most - 1) });
        for nth in picked {
            for (_, errno) in errors {
                let site = Site { call, class: class.clone(), nth };
                chosen.push(Fault { site, errno: *errno });
            }
        }
    }
    chosen.sort_by(|a, b| (&a.site, a.errno).cmp(&(&b.site, b.errno)));
    chosen
}

/// Runs a command once for each fault, each time in a new installation, and checks the result.
fn sweep(args: &dyn Fn(&Install) -> Vec<String>, look: &dyn Fn(&Install, &Traced, &str)) {
    if !cfg!(target_arch = "x86_64") {
        return skip("sweep", "the numbers of system calls are those of x86-64");
    }
    let traced = |fault: Option<&Fault>| {
        let install = GROUND.install.duplicate();
        let words = args(&install);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let traced = run(&install.command(&words), &install.path(""), fault);
        (install, traced)
    };
    let (install, plain) = traced(None);
    assert_eq!(plain.run.code, 0, "{plain:?}");
    look(&install, &plain, "no fault");
    let faults = faults(&plain.counts);
    let mut missed = 0;
    let began = std::time::Instant::now();
    for fault in &faults {
        let (install, traced) = traced(Some(fault));
        let what = format!(
            "{} of {} number {}: errno {}",
            fault.site.call, fault.site.class, fault.site.nth, fault.errno
        );
        missed += usize::from(!traced.struck);
        assert!(!traced.hung, "{what}: hangs: {:?}", traced.run);
        assert!(traced.run.code >= 0, "{what}: killed by a signal: {:?}", traced.run);
        for word in ["panicked", "internal error", "a bug"] {
            assert!(!traced.run.stderr.contains(word), "{what}: {:?}", traced.run);
        }
        look(&install, &traced, &what);
    }
    println!("{} faults, {missed} were not met, {} s", faults.len(), began.elapsed().as_secs());
    assert!(missed * 5 <= faults.len(), "{missed} of {} faults were not met", faults.len());
}

/// Every valid version has the right content, and nothing else is wrong.
fn nothing_valid_is_wrong(install: &Install, what: &str) {
    for name in ["vm", "other"] {
        for (uid, _) in versions(install, name).iter().filter(|(_, valid)| *valid) {
            assert!(install.restored(uid, "check.img") == expected(uid, name), "{what}: {uid} is wrong");
        }
    }
    install.assert_sound();
}

#[test]
fn a_backup_survives_every_failing_call() {
    let args = |install: &Install| ["backup".to_owned(), install.url("vm.img"), "vm".to_owned()].to_vec();
    let look = |install: &Install, traced: &Traced, what: &str| {
        nothing_valid_is_wrong(install, what);
        // Some file systems report lost data only at `close`.
        if what.contains("close of data/*.tmp") {
            assert_eq!(traced.run.code, 6, "{what}: {:?}", traced.run);
        }
        let valid = || versions(install, "vm").iter().filter(|(_, valid)| *valid).count();
        if traced.run.code == 0 {
            assert_eq!(valid(), 2, "{what}: {:?}", traced.run);
        }
        // The next backup works.
        let before = valid();
        install.ok(&["backup", &install.url("vm.img"), "vm"]);
        assert_eq!(valid(), before + 1, "{what}");
    };
    sweep(&args, &look);
}

#[test]
fn a_scrub_blames_no_data_for_a_failing_call() {
    let args = |_: &Install| ["scrub".to_owned(), GROUND.first.clone()].to_vec();
    let look = |install: &Install, traced: &Traced, what: &str| {
        assert!(traced.run.code != 20, "{what}: {:?}", traced.run);
        assert_eq!(
            install.count("SELECT count(*) FROM blobs WHERE valid = 0"),
            0,
            "{what}: {:?}",
            traced.run
        );
        assert!(versions(install, "%").iter().all(|(_, valid)| *valid), "{what}: {:?}", traced.run);
        install.assert_sound();
    };
    sweep(&args, &look);
}

#[test]
fn a_restore_without_an_error_is_complete_whatever_call_failed() {
    let args =
        |install: &Install| ["restore".to_owned(), GROUND.first.clone(), install.url("out.img")].to_vec();
    let look = |install: &Install, traced: &Traced, what: &str| {
        assert!(traced.run.code != 20, "{what}: {:?}", traced.run);
        if traced.run.code == 0 {
            assert!(
                std::fs::read(install.path("out.img")).expect("read") == image(1),
                "{what}: {:?}",
                traced.run
            );
        }
        assert!(versions(install, "%").iter().all(|(_, valid)| *valid), "{what}: {:?}", traced.run);
        install.assert_sound();
    };
    sweep(&args, &look);
}

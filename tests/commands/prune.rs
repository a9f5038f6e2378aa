//! `prune`: which versions go, which ones stay, and what it prints. The rules themselves are tested in
//! `engine::prune::policy`.

use crate::common::checks::wait_until;
use crate::common::database::quoted;
use crate::common::install::{Install, noise};
use std::time::Duration;

const BLOCK: usize = 4096;

/// Makes a version of `name` for each date, oldest first, and returns the uids.
fn dated(install: &Install, name: &str, dates: &[&str]) -> Vec<String> {
    let image = install.image("x.img", &noise(1, 2 * BLOCK));
    let make = |date: &&str| {
        let uid = install.backup(&[&image, name]);
        install.change(&format!("UPDATE versions SET date = '{date}' WHERE uid = {}", quoted(&uid)));
        uid
    };
    dates.iter().map(make).collect()
}

fn add_to_config(install: &Install, text: &str) {
    let config = install.path("backy.cfg");
    let old = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, old + text).expect("written");
}

/// The lines that `prune -m` prints, without uids.
fn lines(install: &Install, args: &[&str]) -> Vec<String> {
    let out = install.ok(&[&["-ms", "prune", "-f", "name,date,action,reasons"], args].concat());
    out.lines().map(str::to_owned).collect()
}

const FIVE: [&str; 5] = [
    "2020-01-01 12:00:00",
    "2020-01-02 12:00:00",
    "2020-01-03 11:00:00",
    "2020-01-03 12:00:00",
    "2020-01-04 12:00:00",
];

#[test]
fn rules_on_the_command_line_decide_and_a_dry_run_removes_nothing() {
    let install = Install::new(BLOCK as u32);
    let uids = dated(&install, "vm", &FIVE);
    let other = dated(&install, "other", &FIVE[..1]);
    let args = ["vm", "--keep-daily", "2", "--keep-last", "1"];
    let dry = lines(&install, &[&args[..], &["--dry-run"]].concat());
    let wanted = [
        "vm|2020-01-01 12:00:00|remove|no rule keeps it",
        "vm|2020-01-02 12:00:00|remove|no rule keeps it",
        "vm|2020-01-03 11:00:00|remove|no rule keeps it",
        "vm|2020-01-03 12:00:00|keep|daily",
        "vm|2020-01-04 12:00:00|keep|last, daily",
    ];
    assert_eq!(dry, wanted);
    assert_eq!(install.uids(&[]).len(), 6, "nothing was removed");
    let shown = install.ok(&[&["prune"], &args[..], &["--dry-run"]].concat());
    assert!(shown.contains("INFO: 3 versions would be removed, 2 stay."), "{shown}");
    assert!(shown.contains("| name | ") && shown.contains("| no rule keeps it |"), "{shown}");
    let whole = install.ok(&[&["-m", "prune"], &args[..]].concat());
    let first = format!("vm|2020-01-01 12:00:00|{}|remove|no rule keeps it", uids[0]);
    assert_eq!(whole.lines().take(2).collect::<Vec<_>>(), ["name|date|uid|action|reasons", &first]);
    let mut left = install.uids(&[]);
    left.sort();
    let mut wanted = vec![uids[3].clone(), uids[4].clone(), other[0].clone()];
    wanted.sort();
    assert_eq!(left, wanted, "and other names are left alone");
    assert!(lines(&install, &args).iter().all(|line| line.contains("|keep|")), "nothing is left to do");
    install.ok(&["scrub", &uids[4]]);
}

#[test]
fn the_configuration_has_rules_for_all_names_and_for_some() {
    let install = Install::new(BLOCK as u32);
    for name in ["db1", "vm1", "vm2"] {
        dated(&install, name, &FIVE);
    }
    add_to_config(&install, "\n[retention:vm2]\nkeep_daily: unlimited\n\n[retention:vm*]\nkeep_last: 2\n");
    let dates = |name: &str| -> Vec<String> {
        install.ok(&["-ms", "ls", "-f", "date", name]).lines().map(str::to_owned).collect()
    };
    install.ok(&["prune"]);
    assert_eq!(
        (dates("db1"), dates("vm1")),
        (FIVE.map(str::to_owned).to_vec(), FIVE.map(str::to_owned)[3..].to_vec())
    );
    assert_eq!(dates("vm2"), [FIVE[0], FIVE[1], FIVE[3], FIVE[4]]);
    // A change of the rules reaches old versions.
    add_to_config(&install, "\n[retention]\nkeep_within: 1d1h\n");
    let out = install.ok(&["prune"]);
    assert!(out.contains("3 versions removed, 8 stay."), "{out}");
    assert_eq!((dates("db1").len(), dates("vm1").len(), dates("vm2").len()), (2, 2, 4));
    // Options replace the rules of the configuration.
    install.ok(&["prune", "--keep-yearly", "3", "vm2"]);
    assert_eq!(dates("vm2"), [FIVE[0], FIVE[4]]);
}

#[test]
fn without_rules_only_expired_versions_go() {
    let install = Install::new(BLOCK as u32);
    let uids = dated(&install, "vm", &FIVE);
    install.ok(&["expire", &uids[0], "2021-01-01"]);
    install.ok(&["expire", &uids[1], "2999-01-01"]);
    install.ok(&["expire", &uids[4], "2021-01-01"]);
    let wanted = [
        "vm|2020-01-01 12:00:00|remove|expired 2021-01-01 00:00:00",
        "vm|2020-01-02 12:00:00|keep|expires 2999-01-01 00:00:00",
        "vm|2020-01-03 11:00:00|keep|no rules",
        "vm|2020-01-03 12:00:00|keep|no rules",
        "vm|2020-01-04 12:00:00|keep|last valid version",
    ];
    assert_eq!(lines(&install, &[]), wanted);
    assert_eq!(install.uids(&["vm"]).len(), 4);
    // With rules, too, the date decides about its version.
    let wanted = [
        "vm|2020-01-02 12:00:00|keep|expires 2999-01-01 00:00:00",
        "vm|2020-01-03 11:00:00|remove|no rule keeps it",
        "vm|2020-01-03 12:00:00|keep|last",
        "vm|2020-01-04 12:00:00|keep|last valid version",
    ];
    assert_eq!(lines(&install, &["--keep-last", "1"]), wanted);
}

#[test]
fn protected_young_and_used_versions_stay() {
    let install = Install::new(BLOCK as u32);
    let uids = dated(&install, "vm", &FIVE);
    install.ok(&["protect", &uids[0]]);
    install.change(&format!("UPDATE versions SET valid = 0 WHERE uid = {}", quoted(&uids[2])));
    let big = install.image("big.img", &noise(2, 100 * BLOCK));
    let used = install.backup(&[&big, "vm"]);
    install
        .change(&format!("UPDATE versions SET date = '2020-01-01 13:00:00' WHERE uid = {}", quoted(&used)));
    install.bandwidth(0, 100_000);
    let mut scrub = install.start(&["scrub", &used]);
    wait_until("it has a lock", Duration::from_secs(10), || install.ok(&["-m", "locks"]).contains(&used));
    let args = ["--keep-last", "1"];
    let wanted = [
        "vm|2020-01-01 12:00:00|keep|protected",
        "vm|2020-01-01 13:00:00|keep|in use",
        "vm|2020-01-02 12:00:00|remove|no rule keeps it",
        "vm|2020-01-03 11:00:00|keep|not valid",
        "vm|2020-01-03 12:00:00|remove|no rule keeps it",
        "vm|2020-01-04 12:00:00|keep|last",
    ];
    assert_eq!(lines(&install, &[&args[..], &["--dry-run"]].concat()), wanted);
    assert_eq!(lines(&install, &args), wanted);
    scrub.kill().expect("killed");
    scrub.wait().expect("ended");
    install.set("disallow_rm_when_younger_than_days", "100000");
    let shown = lines(&install, &args);
    assert_eq!(shown[1], "vm|2020-01-01 13:00:00|keep|too young", "{shown:?}");
    install.set("disallow_rm_when_younger_than_days", "3");
    let shown = lines(&install, &args);
    assert_eq!(shown[1], "vm|2020-01-01 13:00:00|remove|no rule keeps it", "{shown:?}");
}

#[test]
fn bad_rules_and_unknown_names_are_refused() {
    let install = Install::new(BLOCK as u32);
    dated(&install, "vm", &FIVE[..2]);
    for (args, words) in [
        (&["--keep-last", "1", "vm", "vn"][..], "There is no version with the name vn."),
        (&["-f", "why"], "Unknown field 'why'. There are: name, date, uid, action, reasons"),
    ] {
        install.refuses(100, &[&["prune"], args].concat(), &[words]);
    }
    let empty = Install::new(BLOCK as u32);
    assert_eq!(empty.ok(&["-ms", "prune", "--keep-last", "1"]), "");
}

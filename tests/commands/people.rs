//! The command line as people use it, in front of a terminal. Scripts and pipes see none of this.

use crate::common::install::{Install, noise};
use crate::common::pty;

/// An installation with three versions of two names. Compression does not change the size of their data.
fn installation() -> (Install, [String; 3]) {
    let install = Install::new(65536);
    let first = install.image("vm1.img", &noise(1, 4 << 20));
    let mut changed = noise(1, 4 << 20);
    changed[..65536].copy_from_slice(&noise(2, 65536));
    let second = install.image("vm1-later.img", &changed);
    let one = install.backup(&[&first, "vm1"]);
    let two = install.backup(&["-t", "a-tag", &second, "vm1"]);
    let three = install.backup(&[&first, "a-name-that-is-so-long-that-it-must-be-cut-on-a-terminal"]);
    (install, [one, two, three])
}

#[test]
fn a_listing_on_a_terminal_has_eighty_columns_and_the_newest_version_last() {
    let (install, [one, two, three]) = installation();
    install.ok(&["protect", &one]);
    let shown = pty::ok(&install, 80, &["ls"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(lines[0].starts_with("date (UTC)"), "{shown}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for (line, uid, wanted) in [
        (lines[1], &one, "vm1 4 MiB 4 MiB protected"),
        (lines[2], &two, "vm1 4 MiB 64 KiB valid"),
        (lines[3], &three, "4 MiB 0 valid"),
    ] {
        assert!(words(line).contains(&format!("{wanted} {}", &uid[..8])), "{wanted}: {shown}");
    }
    assert!(lines[2].ends_with("a-tag"), "{shown}");
    assert!(lines[3].contains('…'), "{shown}");
    assert!(pty::ok(&install, 200, &["ls"]).contains("that-it-must-be-cut-on-a-terminal"), "there is room");
    assert_eq!(pty::ok(&install, 80, &["-s", "ls"]).lines().count(), 3);
}

#[test]
fn the_short_uid_of_a_listing_names_the_version() {
    let (install, [_, two, _]) = installation();
    let shown = pty::ok(&install, 80, &["ls", "-t", "a-tag"]);
    let short = shown
        .split_whitespace()
        .find(|word| word.len() >= 6 && two.starts_with(word))
        .expect("a short uid")
        .to_owned();
    install.ok(&["protect", &short]);
    assert_eq!(install.ok(&["-ms", "ls", "-f", "protected", "-t", "a-tag"]), "1\n");
}

#[test]
fn pipes_and_wide_listings_have_the_tables_of_2_13() {
    let (install, [one, _, _]) = installation();
    for command in ["ls", "du", "stats"] {
        let table = |out: String| -> Vec<String> {
            out.lines().filter(|line| line.starts_with(['+', '|'])).map(str::to_owned).collect()
        };
        let piped = table(install.ok(&[command]));
        assert_eq!(piped.len(), 7, "{command}: {piped:?}");
        assert_eq!(table(pty::ok(&install, 80, &[command, "--wide"])), piped, "{command}");
        assert_eq!(table(install.ok(&[command, "-w"])), piped, "{command}");
        assert_eq!(pty::ok(&install, 80, &["-m", command]), install.ok(&["-m", command]), "{command}");
    }
    let fields = pty::ok(&install, 80, &["ls", "-f", "uid", "vm1"]);
    assert!(
        fields.starts_with("+--") && fields.contains(&one),
        "a choice of columns means the table: {fields}"
    );
}

#[test]
fn du_on_a_terminal_adds_up_the_bytes_on_disk() {
    let (install, [one, _, three]) = installation();
    let shown = pty::ok(&install, 80, &["du"]);
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let bytes: u64 = install.blobs().iter().map(|blob| blob.metadata().expect("a blob").len()).sum();
    assert_eq!(bytes >> 20, 4, "4 MiB and a block, which hardly compress");
    let all = shown.lines().last().expect("a sum");
    assert!(all.starts_with("= all") && all.ends_with("  4 MiB") && all.contains("3 versions"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("= vm1 ") && line.ends_with("  3 MiB")), "{shown}");
    // 63 of 64 blocks are shared by three versions, and one by two.
    for uid in [one, three] {
        let line = shown.lines().find(|line| line.contains(&uid[..8])).expect("its line");
        assert!(line.ends_with("  1 MiB"), "{line}");
    }
    let alone = pty::ok(&install, 80, &["du", "vm1"]);
    assert_eq!(alone.lines().count(), 2, "{alone}");
}

#[test]
fn stats_on_a_terminal_have_eighty_columns() {
    let (install, [_, two, _]) = installation();
    let shown = pty::ok(&install, 80, &["stats"]);
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let line = shown.lines().nth(2).expect("the second backup");
    assert!(line.contains(&two[..8]) && line.contains("4 MiB  64 KiB"), "{shown}");
}

#[test]
fn without_a_command_a_terminal_shows_the_commands_by_their_purpose() {
    let install = Install::without_database(4096);
    let run = pty::run(&install, 80, &[]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("Back up and restore:\n  backup "), "{run:?}");
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 120), "{run:?}");
    let piped = install.run(&[]);
    assert!(piped.code == 1 && piped.stdout.starts_with("usage: backy2 [-h]"), "{piped:?}");
}

#[test]
fn global_options_may_follow_the_command() {
    let (install, [one, two, _]) = installation();
    assert_eq!(install.ok(&["ls", "vm1", "-m"]), install.ok(&["-m", "ls", "vm1"]));
    assert_eq!(install.ok(&["stats", "-ms", "-f", "uid", "vm1:1"]).trim_end(), one);
    let made: serde_json::Value =
        serde_json::from_str(&install.ok(&["ls", "-t", "a-tag", "--json"])).expect("JSON");
    assert_eq!(made["versions"][0]["uid"], two.as_str());
    // Where the command has an option of that name, it is meant.
    assert_eq!(install.ok(&["ls", "-s", "no-such-snapshot", "-m"]).lines().count(), 1);
}

#[test]
fn rm_takes_several_versions_and_no_bare_name() {
    let (install, [one, two, three]) = installation();
    install.refuses(100, &["rm", "vm1"], &["'vm1' is a name", "vm1:latest", &one, &two]);
    install.ok(&["protect", &three]);
    install.refuses(100, &["rm", "vm1:1", &three], &["is protected"]);
    let would = install.ok(&["-m", "rm", "--dry-run", "vm1:latest", &one[..8]]);
    assert_eq!(would, format!("{two}\n{one}\n"));
    let shown = install.ok(&["rm", "--dry-run", "vm1:1"]);
    assert!(shown.contains(&format!("Would remove backup version {one} (vm1, ")), "{shown}");
    assert_eq!(install.uids(&[]).len(), 3, "a dry run removes nothing");
    // The first removal would change the meaning of vm1:1.
    let removed = install.ok(&["rm", "vm1:latest", "vm1:1", &two]);
    assert!(removed.contains(&one) && removed.matches("Removed backup version").count() == 2, "{removed}");
    assert_eq!(install.uids(&[]), [three]);
}

#[test]
fn an_expiry_may_be_a_time_from_now_on() {
    let install = Install::new(4096);
    let image = install.image("x.img", &noise(1, 4096));
    let uid = install.backup(&["-e", "30d", &image, "vm"]);
    let expires = || install.ok(&["-ms", "ls", "-f", "expire"]).trim_end().to_owned();
    let first = expires();
    assert_eq!(first.len(), 19, "{first}");
    assert_eq!(install.ok(&["-ms", "ls", "-e"]), "", "in thirty days");
    install.ok(&["expire", &uid, "1y"]);
    assert!(expires() > first);
    install.ok(&["expire", &uid, "0d"]);
    assert_eq!(install.ok(&["-ms", "ls", "-e", "-f", "uid"]).trim_end(), uid);
    install.refuses(1, &["expire", &uid, "30x"], &["not a date", "30d"]);
}

#[test]
fn the_environment_names_the_installation() {
    let install = Install::new(4096);
    let run = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = std::process::Command::new(crate::common::program());
        command.env_remove("BACKY2_DIR").env_remove("BACKY2_CONFIG").args(args);
        crate::common::install::Run::from(command.envs(variables.iter().copied()).output().expect("runs"))
    };
    let image = install.image("x.img", &noise(1, 4096));
    let uid = install.backup(&[&image, "vm"]);
    let config = install.text("backy.cfg");
    let listed = run(&[("BACKY2_CONFIG", &config)], &["-ms", "ls", "-f", "uid"]);
    assert_eq!(listed.stdout.trim_end(), uid);
    let folder = install.text("");
    let listed = run(&[("BACKY2_DIR", &folder)], &["-ms", "ls", "-f", "uid"]);
    assert_eq!(listed.stdout.trim_end(), uid);
    let new = install.text("new");
    assert_eq!(run(&[("BACKY2_DIR", &new)], &["init"]).code, 0);
    assert!(install.path("new/backy.cfg").exists());
    let option = run(&[("BACKY2_DIR", "/nonexistent")], &["-c", &config, "-ms", "ls", "-f", "uid"]);
    assert_eq!(option.stdout.trim_end(), uid, "options come first");
    let both = run(&[("BACKY2_DIR", &folder), ("BACKY2_CONFIG", &config)], &["ls"]);
    assert!(both.code == 2 && both.stderr.contains("BACKY2_DIR"), "{both:?}");
}

#[test]
fn bare_paths_are_sources_and_targets() {
    let install = Install::new(4096);
    let data = noise(1, 3 * 4096);
    install.image("x.img", &data);
    let uid = install.backup(&["x.img", "vm"]);
    install.ok(&["restore", &uid, "out.img"]);
    assert!(std::fs::read(install.path("out.img")).expect("read") == data);
    install.ok(&["scrub", "-s", "x.img", &uid]);
    install.refuses(1, &["restore", &uid, "out.img"], &["already exists", "./out.img"]);
    install.refuses(100, &["backup", "nosuch.img", "vm"], &["You must provide the type"]);
}

#[test]
fn a_name_that_matches_nothing_is_said() {
    let (install, _) = installation();
    let config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let config = config + "\n[daily]\ninterval: 1d\nkeep: 8\nsla: 6h\n";
    std::fs::write(install.path("backy.cfg"), config).expect("written");
    for (args, said) in [
        (&["ls", "vm2"][..], "There is no version of the name 'vm2'."),
        (&["stats", "vm2"], "There are no statistics of 'vm2'."),
        (&["due", "-s", "daily", "vm2"], "There is no version of the name 'vm2'."),
    ] {
        let run = install.run(args);
        assert!(run.code == 0 && run.stderr.contains(said), "{args:?}: {run:?}");
        let script = install.run(&[&["-m"], args].concat());
        assert_eq!((script.code, &script.stderr[..]), (0, ""), "{args:?}");
    }
    for args in [
        &["ls", "vm1"][..],
        &["ls", "-e", "vm1"],
        &["stats", "-l", "0", "vm1"],
        &["due", "-s", "daily", "vm1"],
    ] {
        assert_eq!(install.run(args).stderr, "", "{args:?}");
    }
}

#[test]
fn the_summary_of_a_backup_has_what_the_new_blobs_take_in_the_store() {
    let (install, _) = installation();
    // Half of each block compresses to almost nothing.
    let mut data = noise(7, 1 << 20);
    data.chunks_mut(65536).for_each(|block| block[32768..].fill(7));
    let source = install.image("half.img", &data);
    let shown = pty::run(&install, 80, &["backup", &source, "half"]).stdout;
    assert!(shown.contains("1 MiB read, 1 MiB new (514 KiB stored), "), "{shown}");
}

#[test]
fn a_failed_command_ends_with_the_reason() {
    let (install, _) = installation();
    let last = |text: &str| text.trim_end().lines().last().unwrap_or_default().to_owned();
    let shown = pty::run_all(&install, 80, &["rm", "nosuch"]);
    assert_eq!(shown.code, 100, "{shown:?}");
    let reason = "Version nosuch not found.";
    assert!(last(&shown.stdout).contains(reason), "{shown:?}");
    let log = std::fs::read_to_string(install.path("backy.log")).expect("the logfile");
    assert!(last(&log).contains(&format!(" ERROR: Backy failed. {reason}")), "{log}");
    for as_in_2_13 in [install.run(&["rm", "nosuch"]), pty::run(&install, 80, &["rm", "nosuch"])] {
        assert_eq!(last(&as_in_2_13.stderr), "   ERROR: Backy failed.");
    }
}

#[test]
fn a_command_ends_with_a_summary_on_a_terminal() {
    let (install, [one, ..]) = installation();
    let source = install.url("vm1-later.img");
    for (args, words) in [
        (&["backup", &source, "vm1"][..], "4 MiB read, 0 new, "),
        (&["restore", &one, &install.url("out")], "Every block was verified, and all data is on the target."),
        (&["scrub", &one], "Every block was verified."),
        (&["scrub", "-p", "50", &one], "All blocks that were read are good."),
    ] {
        let shown = pty::run(&install, 80, args);
        assert!(shown.code == 0 && shown.stdout.contains(words), "{args:?}: {shown:?}");
        let forced = if args[0] == "restore" { [args, &["-f"]].concat() } else { args.to_vec() };
        assert!(!install.ok(&forced).contains(words), "{args:?}: pipes are as they were");
    }
}

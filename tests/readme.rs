//! Runs the commands of the documentation.
//!
//! Blocks marked `sh` are run, those of one file one after the other in one shell. It runs in a temporary folder, which
//! is also the home folder, with this build's `backy2` first in the PATH. Of lines that begin with cargo, only the part
//! after `&&` is run, in the project's folder. Other blocks are not run.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// All documents that were written by hand.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "docs/manual.md",
    "docs/backup.md",
    "docs/restore.md",
    "docs/postgresql.md",
    "docs/s3.md",
    "docs/mounts.md",
    "docs/maintenance.md",
    "docs/first-night.md",
    "docs/jobs.md",
    "docs/schedules.md",
    "docs/monitoring.md",
    "docs/retention.md",
    "docs/recovery.md",
    "docs/scripting.md",
    "docs/migration.md",
    "docs/json.md",
    "docs/packaging.md",
    "docs/performance.md",
    "docs/differences.md",
    "docs/architecture.md",
    "docs/internals.md",
    "docs/format.md",
    "docs/glossary.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
];

/// The lines of all `sh` blocks.
fn commands(text: &str) -> Vec<&str> {
    let (mut inside, mut indent) = (false, 0);
    let mut found = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        match bare {
            "```sh" => (inside, indent) = (true, line.len() - bare.len()),
            _ if bare.starts_with("```") => inside = false,
            _ if inside => found.push(line.get(indent..).unwrap_or(bare)),
            _ => {}
        }
    }
    found
}

/// Installs this build's program as `backy2` in `bin`. Each test gives its installations a process name of their own,
/// so that commands which must be alone do not see the processes of other tests.
fn install(bin: &Path) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("bk{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let rename = format!("sed -i 's/^process_name: .*/process_name: {name}/' \"$HOME\"/*/backy.cfg");
    let program = common::program();
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' init '*) {program} \"$@\" && {rename} ;; *) exec {program} \"$@\" ;; esac\n"
    );
    std::fs::create_dir(bin).expect("a folder");
    std::fs::write(bin.join("backy2"), script).expect("written");
    let runnable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bin.join("backy2"), runnable).expect("changed");
}

/// Runs `script` with `home` as home folder, and returns its output.
fn run_script(home: &Path, script: &str) -> Result<String, String> {
    let bin = home.join("bin");
    install(&bin);
    let file = bin.join("commands");
    std::fs::write(&file, script).expect("written");
    let path = std::env::var("PATH").expect("a PATH");
    // Not every user has mkfs in the PATH.
    let path = format!("{}:{path}:/usr/sbin:/sbin", bin.display());
    let output = Command::new("sh")
        .arg("-ev")
        .arg(file)
        .current_dir(home)
        .env("HOME", home)
        .env("PATH", path)
        .env("BACKY2", common::program())
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(out.into_owned())
    } else {
        Err(format!("{}\n{out}\n{err}", output.status))
    }
}

fn run_all(file: &str) {
    if is_missing(file) {
        return;
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(project.join(file)).expect("the documentation");
    let mut script = String::new();
    for command in commands(&text) {
        match command.strip_prefix("cargo ") {
            None => script += &format!("{command}\n"),
            Some(cargo) => {
                if let Some((_, rest)) = cargo.split_once(" && ") {
                    script += &format!("(cd {} && {rest})\n", quoted(project.to_str().expect("text")));
                }
            }
        }
    }
    assert!(script.contains("backy2"), "{file} has no commands");
    let home = tempfile::tempdir().expect("a folder");
    if let Err(text) = run_script(home.path(), &script) {
        panic!("{file}: {text}");
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Whether a program is missing that the documentation uses.
fn is_missing(test: &str) -> bool {
    let found = Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin:/sbin; command -v mkfs.ext4"]).output();
    let missing = !found.is_ok_and(|output| output.status.success());
    if missing {
        common::skip(test, "there is no mkfs.ext4");
    }
    missing
}

#[test]
fn the_commands_of_the_readme_work() {
    run_all("README.md");
}

#[test]
fn the_commands_of_the_manual_work() {
    run_all("docs/manual.md");
}

#[test]
fn the_commands_of_the_manual_on_backups_work() {
    run_all("docs/backup.md");
}

#[test]
fn the_commands_of_the_manual_on_restores_work() {
    run_all("docs/restore.md");
}

#[test]
fn the_commands_of_the_manual_on_maintenance_work() {
    run_all("docs/maintenance.md");
}

#[test]
fn the_commands_of_the_manual_on_schedules_work() {
    run_all("docs/schedules.md");
}

#[test]
fn the_commands_of_the_manual_on_monitoring_work() {
    run_all("docs/monitoring.md");
}

#[test]
fn the_commands_of_the_manual_on_jobs_work() {
    run_all("docs/jobs.md");
}

#[test]
fn the_commands_of_the_manual_on_retention_work() {
    run_all("docs/retention.md");
}

#[test]
fn the_commands_of_the_manual_on_recovery_work() {
    run_all("docs/recovery.md");
}

#[test]
fn the_commands_of_the_manual_on_scripts_work() {
    run_all("docs/scripting.md");
}

#[test]
fn the_commands_of_the_manual_on_migration_work() {
    run_all("docs/migration.md");
}

/// The anchors that code hosts make of a document's headings.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            heading.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
        })
        .collect()
}

#[test]
fn the_documentation_leads_nowhere_else_than_to_files_and_headings() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in DOCUMENTS {
        let own = project.join(file);
        let text = std::fs::read_to_string(&own).expect("the documentation");
        let folder = own.parent().expect("a folder").to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { own.clone() } else { folder.join(path) };
            assert!(target.exists(), "{file}: there is no {link}");
            if !anchor.is_empty() {
                let there = anchors(&std::fs::read_to_string(&target).expect("a text"));
                assert!(there.iter().any(|other| other == anchor), "{file}: {link} is no heading");
            }
        }
    }
}

#[test]
fn the_readme_is_short() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(project.join("README.md")).expect("the README");
    assert!(text.lines().count() < 150);
}

#[test]
fn the_first_commands_build_and_test() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(project.join("README.md")).expect("the README");
    assert_eq!(commands(&text)[..2], ["cargo build --release && docs/quickstart.sh", "cargo test"]);
}

#[test]
fn the_tests_that_the_documentation_names_exist() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: String = common::rust_source::files_below(project, &["src", "tests"])
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("a source file"))
        .collect();
    for file in ["docs/differences.md", "docs/architecture.md", "docs/internals.md"] {
        let text = std::fs::read_to_string(project.join(file)).expect("the documentation");
        let mut named = Vec::new();
        for behind in text.split("Test:").skip(1) {
            // Up to the end of the list item, or of the paragraph.
            let item = behind.split("\n- ").next().and_then(|item| item.split("\n\n").next());
            named.extend(item.unwrap_or_default().split('`').skip(1).step_by(2));
        }
        assert!(!named.is_empty());
        for name in named {
            assert!(sources.contains(&format!("fn {name}(")), "{file}: there is no test {name}");
        }
    }
}

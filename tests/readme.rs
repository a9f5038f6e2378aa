//! The commands of the documentation, run as they stand there.
//!
//! Blocks marked `sh` are run, those of a file one after the other in one shell, in a temporary folder that is
//! the home folder too, with this build's `backy2` in front of the PATH. Of lines that begin with cargo only
//! what follows `&&` is run, in the project's folder. Other blocks are not run.

mod common;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_backy2");

/// The lines of all `sh` blocks.
fn commands(text: &str) -> Vec<&str> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_start) {
        match line {
            "```sh" => inside = true,
            _ if line.starts_with("```") => inside = false,
            _ if inside => found.push(line),
            _ => {}
        }
    }
    found
}

fn run_all(file: &str) {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(project.join(file)).expect("the documentation");
    let home = tempfile::tempdir().expect("a folder");
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    symlink(BINARY, bin.join("backy2")).expect("a link");
    let mut script = String::from("set -e\n");
    for command in commands(&text) {
        match command.strip_prefix("cargo ") {
            None => script += &format!("echo '>>>' {}\n{command}\n", quoted(command)),
            Some(cargo) => {
                if let Some((_, rest)) = cargo.split_once(" && ") {
                    script += &format!("(cd {} && {rest})\n", quoted(project.to_str().expect("text")));
                }
            }
        }
    }
    assert!(script.contains("backy2"), "{file} has no commands");
    let path = std::env::var("PATH").expect("a PATH");
    // mkfs is not in everybody's PATH.
    let path = format!("{}:{path}:/usr/sbin:/sbin", bin.display());
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("PATH", path)
        .env("BACKY2", BINARY)
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{file}: {}\n{out}\n{err}", output.status);
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What the documentation uses besides the program.
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
    if !is_missing("the_commands_of_the_readme_work") {
        run_all("README.md");
    }
}

#[test]
fn the_commands_of_the_manual_work() {
    if !is_missing("the_commands_of_the_manual_work") {
        run_all("docs/manual.md");
    }
}

#[test]
fn the_documentation_leads_nowhere_else_than_to_files() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["README.md", "docs/manual.md", "docs/differences.md", "docs/architecture.md"] {
        let text = std::fs::read_to_string(project.join(file)).expect("the documentation");
        let folder = project.join(file).parent().expect("a folder").to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, _) = link.split_once('#').unwrap_or((link, ""));
            assert!(path.is_empty() || folder.join(path).exists(), "{file}: there is no {link}");
        }
    }
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
    for file in ["docs/differences.md", "docs/architecture.md"] {
        let text = std::fs::read_to_string(project.join(file)).expect("the documentation");
        let mut named = Vec::new();
        for behind in text.split("Test:").skip(1) {
            // Up to the end of the item, or of the paragraph.
            let item = behind.split("\n- ").next().and_then(|item| item.split("\n\n").next());
            named.extend(item.unwrap_or_default().split('`').skip(1).step_by(2));
        }
        assert!(!named.is_empty());
        for name in named {
            assert!(sources.contains(&format!("fn {name}(")), "{file}: there is no test {name}");
        }
    }
}

//! Runs all benches with small inputs, so that they keep working. The measured values are not checked.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether a command can be run.
fn is_there(program: &str) -> bool {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).env("PATH", path).output();
    there.is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("run");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

#[test]
fn every_job_of_the_comparison_is_documented_and_runs() {
    const NAME: &str = "every_job_of_the_comparison_is_documented_and_runs";
    if let Some(missing) = ["python3", "mkfs.ext4"].into_iter().find(|program| !is_there(program)) {
        return common::skip(NAME, &format!("there is no {missing}"));
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = project.join("benches/peers");
    let help = run(Command::new(&script).arg("--help"));
    let jobs: Vec<&str> = help
        .lines()
        .find_map(|line| line.strip_prefix("Jobs: ")?.strip_suffix('.'))
        .expect("the help lists the jobs")
        .split(", ")
        .collect();
    let document = std::fs::read_to_string(project.join("docs/performance.md")).expect("it is there");
    let marked: Vec<&str> =
        document.lines().filter_map(|line| line.strip_prefix("<!-- peers: ")?.strip_suffix(" -->")).collect();
    assert_eq!(marked, jobs, "docs/performance.md has a place for the results of each job");

    // The rest builds the benches, which takes a minute.
    if common::all() {
        all_jobs(&script, jobs.len());
    }
}

fn all_jobs(script: &Path, jobs: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let said = run(Command::new(script)
        .args(["--quick", "--only", "backy2,backy2-none", "--work"])
        .arg(folder.path()));
    let lines = |begin: &str| said.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!(lines("### "), jobs, "{said}");
    // One table per job, but two for the restore to disk and three for the incremental backup.
    assert_eq!(lines("| backy2 3"), jobs + 3, "{said}");
    assert_eq!(lines("| backy2, `sync: none`"), jobs + 3, "{said}");
    assert_eq!(lines("Limit by CPU: "), 5, "{said}");
}

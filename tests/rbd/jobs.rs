//! Nightly jobs on RBD images.

use crate::common::ceph::Ceph;
use crate::common::documented;
use crate::common::install::noise;

#[test]
fn a_job_finds_the_images_of_a_pool_and_reads_their_changes() {
    let Some(ceph) = Ceph::get("a_job_finds_the_images_of_a_pool_and_reads_their_changes") else { return };
    let install = ceph.install(1 << 20);
    ceph.ceph(&["osd", "pool", "create", "nightly", "8"]);
    ceph.rbd(&["pool", "init", "nightly"]);
    // Together, the names are longer than the first answer of the library may be.
    for n in 0..70 {
        ceph.rbd(&["create", "--size", "4", &format!("nightly/other-{n}-{}", "y".repeat(60))]);
    }
    for n in 0..3 {
        std::fs::write(install.path("image"), noise(n, 4 << 20)).expect("written");
        let name = format!("nightly/vm-{n}-{}", "x".repeat(60));
        ceph.rbd(&["import", install.path("image").to_str().expect("text"), &name]);
    }
    let recipe = documented::job("ceph").replace("rbd://vms/*", "rbd://nightly/vm-*");
    let often = recipe.replace("keep_daily: 8\nkeep_weekly: 5\n", "keep_last: 2\n");
    assert!(
        often.contains("rbd://nightly/vm-*")
            && often.contains("keep_last")
            && often.contains("incremental: yes")
    );
    documented::add(&install, &often);
    let run = |new: u64| {
        let out = install.ok(&["--json", "run"]);
        let document: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let tasks = document["jobs"].as_array().expect("jobs").clone();
        assert_eq!(tasks.len(), 3, "{document}");
        assert!(tasks.iter().all(|task| task["result"] == "done" && task["bytes_new"] == new), "{document}");
    };
    run(4 << 20);
    run(0);
    run(0);
    assert_eq!(install.ok(&["-ms", "ls"]).lines().count(), 6, "two of each stay");
    let first = format!("nightly/vm-0-{}", "x".repeat(60));
    assert_eq!(ceph.snapshots(&first).len(), 1, "the one for the next backup");
    assert!(
        install.restored(&install.uids(&[first.trim_start_matches("nightly/")])[1], "out")
            == noise(0, 4 << 20)
    );
    assert!(install.fails(100, &["run", "ceph", "nosuch"]).contains("There is no job nosuch"));
}

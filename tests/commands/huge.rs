//! Huge numbers from a damaged or forged database: commands print or refuse them.

use crate::common::install::{Install, noise};

const BLOCK: usize = 4096;

#[test]
fn numbers_beyond_all_measure_are_printed_as_they_are_or_refused() {
    let huge = (1u64 << 62) + 5;
    let largest = i64::MAX;
    let install = Install::new(BLOCK as u32);
    let uid = install.backup(&[&install.image("a.img", &noise(1, 4 * BLOCK)), "vm"]);
    let other = install.backup(&[&install.image("b.img", &noise(2, 4 * BLOCK)), "vm"]);
    install.change(&format!(
        "UPDATE versions SET size = {largest}, size_bytes = {largest} WHERE uid = '{uid}';
         UPDATE stats SET bytes_read = {largest}, bytes_written = {huge}, duration_seconds = {largest};
         UPDATE blobs SET size = {largest};
         UPDATE block_map SET block_id = {huge} WHERE block_id = 2;
         UPDATE block_map SET block_id = {largest} WHERE block_id = 3"
    ));
    install.change(&format!(
        "INSERT INTO deleted_blocks (uid, size, delete_candidate, time) VALUES
         ('{0}', {largest}, 0, {largest}), ('{1}', {largest}, 0, -{largest})",
        "a".repeat(32),
        "b".repeat(32)
    ));
    for args in [
        &["ls"][..],
        &["-r", "ls"],
        &["-m", "ls"],
        &["--json", "ls"],
        &["stats"],
        &["-r", "stats"],
        &["du"],
        &["-r", "du"],
        &["-m", "du", &uid],
        &["diff-meta", &uid, &other],
        &["export", &uid, "-"],
        &["cleanup", "--dry-run"],
        &["due"],
        &["sla"],
    ] {
        let run = install.run(args);
        assert!(run.code == 0 || (run.code > 0 && run.stderr.contains("ERROR")), "{args:?}: {run:?}");
        for text in [&run.stdout, &run.stderr] {
            // Sums of such numbers stop at the largest number.
            assert!(
                (args.contains(&"du") || !text.contains("1844674407")) && !text.contains("-92233"),
                "{args:?}: {run:?}"
            );
        }
    }
    let listed = install.run(&["-ms", "stats", "-f", "bytes read,bytes written"]);
    assert!(listed.code != 0 || listed.stdout.starts_with(&format!("{largest}|{huge}\n")), "{listed:?}");
}

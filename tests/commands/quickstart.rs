//! The documentation's quick start, step by step, with random data.

use crate::common::install::{Install, noise};

#[test]
fn forty_mebibytes_there_and_back() {
    let install = Install::new(4 << 20);
    install.set("disallow_rm_when_younger_than_days", "6");
    let image = noise(1, 40 << 20);
    std::fs::write(install.path("rnd.img"), &image).expect("write");
    let source = format!("file://{}", install.text("rnd.img"));

    let first = install.backup(&[&source, "rnd"]);
    assert_eq!(install.blobs().len(), 10);
    let second = install.backup(&[&source, "rnd"]);
    assert_eq!(install.blobs().len(), 10, "all of it was known");
    assert_eq!(install.uids(&["rnd"]), [first.clone(), second.clone()]);
    install.ok(&["scrub", &first]);
    assert!(install.restored(&first, "out.img") == image);

    let target = format!("file://{}", install.text("out.img"));
    let error = install.fails(1, &["restore", &first, &target]);
    assert!(error.contains("already exists"), "{error}");
    install.ok(&["restore", "-f", &first, &target]);

    let error = install.fails(100, &["rm", &first]);
    assert!(error.contains("too young"), "{error}");
    install.ok(&["rm", "-f", &first]);
    install.ok(&["cleanup"]);
    assert_eq!(install.blobs().len(), 10, "the second version needs them");
    install.ok(&["rm", "-f", &second]);
    install.ok(&["cleanup"]);
    assert_eq!(install.blobs().len(), 10, "the hour of grace");
    install.ok(&["cleanup", "--dangerous-force"]);
    assert_eq!(install.blobs().len(), 0);
    assert_eq!(install.count("SELECT count(*) FROM blobs WHERE id > 0"), 0);
    assert_eq!(install.count("SELECT count(*) FROM deleted_blocks"), 0);
}

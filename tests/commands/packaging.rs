//! The configuration that the Debian package installs.

use backy2::config::{Origin, Places, StoreConfig, load};
use std::path::Path;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_configuration_of_the_package_is_good_and_has_no_key() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("backy.cfg");
    std::fs::copy(project().join("debian/backy.cfg"), &path).expect("copied");
    let config = load(&Origin::File(path), &Places::of_system()).expect("good");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(config.encryption_key.is_none(), "a key that everybody knows is none");
    let StoreConfig::File { path, .. } = config.data.store else { panic!("a folder") };
    // The paths of 2.13's package: users who never changed the configuration find their backups again.
    assert_eq!(path, Path::new("/var/lib/backy2/data"));
    assert_eq!(config.logfile, Path::new("/var/log/backy.log"));
    assert_eq!(config.block_size, 4 << 20);
    let names: Vec<_> = config.schedulers.iter().map(|s| s.name.as_str()).collect();
    let usual = ["hourly", "daily", "weekly", "monthly"];
    assert_eq!(names[..4], usual);
    assert_eq!(names[4..], usual.map(|name| format!("longterm_{name}")));
}

#[test]
fn package_and_program_have_the_same_version() {
    let changelog = std::fs::read_to_string(project().join("debian/changelog")).expect("it is there");
    let version = format!("backy2 ({})", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&version), "the first entry of debian/changelog is not of {version}");
}

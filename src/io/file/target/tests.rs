//! Tests of targets that are regular files. Tests of devices are in `tests/commands/devices.rs`.

use super::*;
use crate::types::error::Error;
use crate::types::remedy::Remedy;
use std::fs;
use std::os::unix::fs::MetadataExt;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

fn folder() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("image");
    (dir, path)
}

fn open(path: &Path, size: u64, existing: Existing) -> Result<FileTarget> {
    FileTarget::open("file://image", path, size, existing, FileMode::PRIVATE)
}

#[test]
fn a_new_file_has_the_size_and_reads_as_zeros() {
    let (_dir, path) = folder();
    let target = open(&path, 3 * MIB, Existing::Refuse).expect("created");
    for range in [0..3 * MIB, 5..5, 1000..1001] {
        assert!(target.zero(range, Zeroing::IfCheap).expect("zeroed"));
    }
    assert_eq!(fs::metadata(&path).expect("there").blocks(), 0, "nothing was written for zeros");
    target.write_at(MIB, b"data").expect("written");
    target.flush().expect("flushed");
    let mut expected = vec![0; 3 * MIB as usize];
    expected[MIB as usize..MIB as usize + 4].copy_from_slice(b"data");
    assert!(fs::read(&path).expect("read") == expected);
}

#[test]
fn a_new_file_zeroes_data_that_was_written_before() {
    let (_dir, path) = folder();
    let target = open(&path, MIB, Existing::Refuse).expect("created");
    target.write_at(10_000, &[7; 50_000]).expect("written");
    assert!(target.zero(20_000..30_001, Zeroing::Always).expect("zeroed"));
    let content = fs::read(&path).expect("read");
    assert!(content[20_000..30_001].iter().all(|&b| b == 0));
    assert!(content[10_000..20_000].iter().chain(&content[30_001..60_000]).all(|&b| b == 7));
    assert_eq!(content.len() as u64, MIB);
}

#[test]
fn an_existing_file_is_refused_or_accepted_but_never_cut() {
    let (_dir, path) = folder();
    fs::write(&path, [7; 5000]).expect("written");
    let error = open(&path, 4000, Existing::Refuse).err().expect("refused");
    assert!(matches!(error, Error::TargetRefused(_)), "{error}");
    assert_eq!(error.remedies(), [Remedy::OverwriteTarget]);
    let target = open(&path, 4000, Existing::Accept).expect("large enough");
    target.write_at(0, &[8; 10]).expect("written");
    target.flush().expect("flushed");
    let content = fs::read(&path).expect("read");
    assert_eq!(content.len(), 5000);
    assert!(content[..10].iter().all(|&b| b == 8) && content[10..].iter().all(|&b| b == 7));
}

#[test]
fn an_absent_file_is_created_when_existing_ones_are_accepted() {
    let (_dir, path) = folder();
    open(&path, 4000, Existing::Accept).expect("created");
    assert_eq!(fs::metadata(&path).expect("there").len(), 4000);
    open(&path, 4000, Existing::Refuse).err().expect("there now");
}

#[test]
fn a_file_that_is_too_small_is_refused_with_both_sizes() {
    let (_dir, path) = folder();
    fs::write(&path, [7; 1000]).expect("written");
    let error = open(&path, 1001, Existing::Accept).err().expect("too small");
    assert!(matches!(error, Error::TargetRefused(_)), "{error:?}");
    assert!(error.to_string().contains("Has 1000b, need 1001b"), "{error}");
    fs::write(&path, []).expect("emptied");
    open(&path, 1, Existing::Accept).err().expect("an empty file is too small, too");
    open(&path, 0, Existing::Accept).expect("but not for an empty image");
}

#[test]
fn holes_are_punched_into_old_data() {
    let (_dir, path) = folder();
    fs::write(&path, vec![7; 4 * MIB as usize]).expect("written");
    let target = open(&path, 4 * MIB, Existing::Accept).expect("opened");
    let range = MIB + 100..3 * MIB + 7;
    let cheap = target.zero(range.clone(), Zeroing::IfCheap).expect("zeroed");
    assert_eq!(cheap, target.punches.load(Ordering::Relaxed), "where the file system can");
    assert!(target.zero(range.clone(), Zeroing::Always).expect("zeroed"));
    let content = fs::read(&path).expect("read");
    for (at, &byte) in content.iter().enumerate() {
        assert_eq!(byte, if range.contains(&(at as u64)) { 0 } else { 7 }, "{at}");
    }
    assert_eq!(content.len() as u64, 4 * MIB);
}

#[test]
fn without_hole_punching_zeros_are_written_only_if_required() {
    let (_dir, path) = folder();
    let size = 3 * MIB + 123;
    fs::write(&path, vec![7; size as usize]).expect("written");
    let target = open(&path, size, Existing::Accept).expect("opened");
    target.punches.store(false, Ordering::Relaxed);
    assert!(!target.zero(5..size, Zeroing::IfCheap).expect("not cheap"));
    assert!(fs::read(&path).expect("read").iter().all(|&b| b == 7));
    assert!(target.zero(5..size, Zeroing::Always).expect("zeroed"));
    let content = fs::read(&path).expect("read");
    assert_eq!(content.len() as u64, size);
    assert!(content[..5].iter().all(|&b| b == 7) && content[5..].iter().all(|&b| b == 0));
}

#[test]
fn unsuitable_targets_are_errors() {
    let (dir, path) = folder();
    std::os::unix::fs::symlink("nowhere", dir.path().join("dangling")).expect("a link");
    let missing = dir.path().join("missing");
    for (path, what) in [
        (dir.path().to_owned(), "a directory"),
        (PathBuf::from("/dev/null"), "a character device"),
        (missing.join("image"), missing.to_str().expect("text")),
        (dir.path().join("dangling"), "a symbolic link"),
        (path.join("\0"), "cannot be opened"),
    ] {
        for existing in [Existing::Refuse, Existing::Accept] {
            let error = open(&path, 1, existing).err().expect(what);
            assert!(matches!(&error, Error::Target { .. }), "{error:?}");
            assert!(error.to_string().contains(what), "{error}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_sized_is_not_left_behind() {
    let (_dir, path) = folder();
    let error = open(&path, u64::MAX, Existing::Refuse).err().expect("too large");
    assert!(error.to_string().contains(&u64::MAX.to_string()), "{error}");
    assert!(!path.exists());
}

#[test]
fn write_errors_name_the_offset() {
    let (_dir, path) = folder();
    let target = open(&path, 10, Existing::Refuse).expect("created");
    let offset = i64::MAX as u64;
    let error = target.write_at(offset, b"data").expect_err("no file is that large");
    assert!(
        matches!(error, Error::Target { .. }) && error.to_string().contains(&offset.to_string()),
        "{error}"
    );
    let error = target.zero(offset..offset + 8, Zeroing::Always).expect_err("nor has it a hole there");
    assert!(error.to_string().contains(&offset.to_string()), "{error}");
}

#[test]
fn links_are_followed() {
    let (dir, path) = folder();
    fs::write(&path, [7; 10]).expect("written");
    std::os::unix::fs::symlink("image", dir.path().join("link")).expect("a link");
    let target = open(&dir.path().join("link"), 4, Existing::Accept).expect("opened");
    target.write_at(0, b"abc").expect("written");
    assert!(fs::read(&path).expect("read").starts_with(b"abc\x07"));
}

//! Tests a store in a folder with a hostile user, a full disk and a failing one.

use super::*;
use crate::skip;
use faulty_fs::{FaultyFs, Full};
use rustix::fs::{CWD, Mode, mknodat};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Instant;

#[path = "../../../tests/common/faulty_fs.rs"]
mod faulty_fs;

const EACCES: i32 = 13;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn wanted(uid: &BlobUid) -> Wanted<'_> {
    Wanted { uid, block: 0, size: 1 << 16, again: false }
}

/// A store in the folder `root` of a temporary folder, with one blob, and the blob's uid.
fn scene() -> (tempfile::TempDir, FileStore, BlobUid) {
    let folder = tempfile::tempdir().expect("tempdir");
    std::fs::create_dir(folder.path().join("root")).expect("made");
    let store = FileStore::new(&folder.path().join("root"), Durability::File, FileMode::PRIVATE);
    let uid = BlobUid::generate();
    store.put(&uid, b"data").expect("put");
    (folder, store, uid)
}

fn get(store: &FileStore, uid: &BlobUid) -> std::result::Result<bool, GetError> {
    store.get(wanted(uid), &mut Vec::new())
}

#[test]
fn a_subfolder_that_is_a_link_is_never_followed() {
    for depth in [2, 5] {
        let (folder, _, uid) = scene();
        let place = format!("{}/{}", &uid.as_str()[..2], &uid.as_str()[2..4]);
        let (inside, outside) = (folder.path().join("root").join(&place[..depth]), folder.path().join("out"));
        std::fs::rename(&inside, &outside).expect("moved");
        symlink(&outside, &inside).expect("linked");
        let before = std::fs::read_dir(&outside).expect("listed").count();
        let store = FileStore::new(&folder.path().join("root"), Durability::Filesystem, FileMode::PRIVATE);
        let Err(GetError::Store(error)) = get(&store, &uid) else { panic!("neither data nor damage") };
        let mut errors = vec![error];
        errors.extend(store.put(&uid, b"new").err());
        errors.extend(store.presence(&uid).err());
        errors.extend(store.list("", &mut |_| Ok(())).err());
        errors.extend(store.delete(std::slice::from_ref(&uid)).into_iter().map(|(_, error)| error));
        assert_eq!(errors.len(), 5, "{errors:?}");
        for text in errors.iter().map(Error::line) {
            assert!(text.contains("is a symbolic link") && text.contains("mount --bind"), "{text}");
        }
        assert_eq!(std::fs::read_dir(&outside).expect("listed").count(), before);
        assert!(outside.join(&format!("{place}/{uid}.blob")[depth + 1..]).exists());
    }
}

#[test]
fn the_stores_folder_itself_may_be_a_link() {
    let (folder, _, uid) = scene();
    symlink(folder.path().join("root"), folder.path().join("door")).expect("linked");
    let store = FileStore::new(&folder.path().join("door"), Durability::Filesystem, FileMode::PRIVATE);
    assert!(get(&store, &uid).expect("read"));
    store.put(&BlobUid::generate(), b"new").expect("put");
    store.sync().expect("flushed");
}

#[test]
fn only_regular_files_are_blobs_and_opening_others_never_waits() {
    let (folder, store, uid) = scene();
    let file = folder.path().join("root").join(store.file(&uid).expect("a name"));
    let outside = folder.path().join("secret");
    std::fs::write(&outside, "mine").expect("written");
    let make = |what: rustix::fs::FileType| {
        mknodat(CWD, &file, what, Mode::RUSR, 0).expect("made");
    };
    let started = Instant::now();
    for what in ["a FIFO", "a folder", "a symbolic link", "cannot open"] {
        let _ = std::fs::remove_file(&file);
        match what {
            "a FIFO" => make(rustix::fs::FileType::Fifo),
            "a folder" => std::fs::create_dir(&file).expect("made"),
            "a symbolic link" => symlink(&outside, &file).expect("linked"),
            _ => make(rustix::fs::FileType::Socket),
        }
        let Err(GetError::Unreadable(why)) = get(&store, &uid) else { panic!("{what}") };
        assert!(why.contains(what), "{why}");
        assert_eq!(store.presence(&uid).expect("told"), Presence::Missing, "{what}");
        if what == "a folder" {
            std::fs::remove_dir(&file).expect("removed");
        }
    }
    assert!(started.elapsed().as_secs() < 5);
    // A new blob replaces a link of its name.
    let _ = std::fs::remove_file(&file);
    symlink(&outside, &file).expect("linked");
    store.put(&uid, b"new").expect("put");
    assert_eq!(std::fs::read(&outside).expect("read"), b"mine");
    assert!(get(&store, &uid).expect("read"));
    assert_eq!(store.presence(&uid).expect("told"), Presence::Bytes(3));
    assert_eq!(store.presence(&BlobUid::generate()).expect("told"), Presence::Missing);
}

#[test]
fn blobs_and_folders_have_the_configured_mode() {
    for (text, mode, folders) in [("0600", 0o600, 0o700), ("0640", 0o640, 0o750), ("0660", 0o660, 0o770)] {
        let folder = tempfile::tempdir().expect("tempdir");
        let store = FileStore::new(folder.path(), Durability::None, FileMode::parse(text).expect("a mode"));
        let uid = BlobUid::generate();
        store.put(&uid, b"data").expect("put");
        let path = folder.path().join(store.file(&uid).expect("a name"));
        let rights = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        assert_eq!(rights(&path), mode);
        for above in path.ancestors().skip(1).take(2) {
            assert_eq!(rights(above), folders, "{}", above.display());
        }
    }
}

#[test]
fn a_folder_that_was_exchanged_is_found_by_readers_and_refused_by_writers() {
    let (folder, writer, uid) = scene();
    let (root, other) = (folder.path().join("root"), folder.path().join("other"));
    let reader = FileStore::new(&root, Durability::None, FileMode::PRIVATE);
    assert!(get(&reader, &uid).expect("read"));
    std::fs::rename(&root, &other).expect("moved");
    assert!(matches!(get(&reader, &"abcdefgh".into()), Err(GetError::Store(_))), "it is gone");
    std::fs::create_dir(&root).expect("made");
    assert!(!get(&reader, &uid).expect("the new one is empty"));
    std::fs::remove_dir(&root).expect("removed");
    std::fs::rename(&other, &root).expect("moved back");
    assert!(get(&reader, &uid).expect("read"));
    std::fs::rename(&root, &other).expect("moved");
    std::fs::create_dir(&root).expect("made");
    let error = writer.check().expect_err("not what was written to").line();
    assert!(error.contains("not the one that was written to"), "{error}");
}

/// A store on a file system that can fail. `None` if there is no FUSE here.
fn remote(test: &str, sync: Durability) -> Option<(FaultyFs, FileStore, tempfile::TempDir)> {
    let folder = tempfile::tempdir().expect("tempdir");
    match FaultyFs::mount(folder.path()) {
        Ok(fs) => {
            let store = FileStore::new(folder.path(), sync, FileMode::PRIVATE);
            Some((fs, store, folder))
        }
        Err(reason) => {
            skip::skip(test, &reason);
            None
        }
    }
}

#[test]
fn on_fuse_each_blob_is_flushed_by_itself() {
    for (sync, flushes) in
        [(Durability::Filesystem, true), (Durability::File, true), (Durability::None, false)]
    {
        let Some((fs, store, _folder)) = remote("on_fuse_each_blob_is_flushed_by_itself", sync) else {
            return;
        };
        for _ in 0..3 {
            store.put(&BlobUid::generate(), b"data").expect("put");
        }
        store.sync().expect("flushed");
        assert_eq!(fs.faults().synced, if flushes { 3 } else { 0 });
    }
}

#[test]
fn a_blob_that_did_not_arrive_is_reported_and_nothing_counts_any_more() {
    let name = "a_blob_that_did_not_arrive_is_reported_and_nothing_counts_any_more";
    for how in [Full::Close(EIO), Full::Sync(ENOSPC), Full::Nowhere, Full::Close(ENOSPC)] {
        // Without durability there is no fsync that could fail.
        for sync in [Durability::Filesystem, Durability::None] {
            if matches!((how, sync), (Full::Sync(_), Durability::None)) {
                continue;
            }
            let Some((fs, store, _folder)) = remote(name, sync) else { return };
            let uids: Vec<BlobUid> = (0..3).map(|_| BlobUid::generate()).collect();
            store.put(&uids[0], &[1; 1000]).expect("there is room");
            fs.faults().full = Some((1500, how));
            let error = store.put(&uids[1], &[2; 1000]).expect_err("there is none").line();
            assert!(error.contains(uids[1].as_str()), "{error}");
            assert_eq!(
                error.contains("full"),
                how == Full::Close(ENOSPC) || how == Full::Sync(ENOSPC),
                "{error}"
            );
            // The system reports an error only once.
            fs.faults().full = None;
            let later = store.sync().expect_err("it broke").line();
            assert!(later.contains(uids[1].as_str()), "{later}");
            assert!(store.put(&uids[2], &[3; 1000]).is_err(), "{how:?} {sync:?}");
            let mut there = Vec::new();
            let mut each = |uid: &BlobUid| -> Result<()> {
                there.push(uid.clone());
                Ok(())
            };
            store.list("", &mut each).expect("listed");
            assert_eq!(there, uids[..1], "a blob that did not arrive has no name: {how:?} {sync:?}");
        }
    }
}

#[test]
fn a_full_store_is_reported_as_full_and_works_again_with_room() {
    let name = "a_full_store_is_reported_as_full_and_works_again_with_room";
    let Some((fs, store, _folder)) = remote(name, Durability::Filesystem) else { return };
    fs.faults().full = Some((100, Full::Write(ENOSPC)));
    let error = store.put(&BlobUid::generate(), &[1; 1000]).expect_err("no room").line();
    assert!(error.contains("The data store is full: free some space"), "{error}");
    fs.faults().full = None;
    store.put(&BlobUid::generate(), &[1; 1000]).expect("there is room");
    store.sync().expect("nothing else was lost");
}

#[test]
fn only_errors_of_a_disk_about_one_file_are_damage() {
    let name = "only_errors_of_a_disk_about_one_file_are_damage";
    let Some((fs, store, _folder)) = remote(name, Durability::Filesystem) else { return };
    let uid = BlobUid::generate();
    store.put(&uid, b"data").expect("put");
    // EIO, EUCLEAN, EBADMSG.
    for errno in [EIO, 117, 74] {
        fs.faults().read = Some((usize::MAX, errno));
        assert!(matches!(get(&store, &uid), Err(GetError::Unreadable(_))), "{errno}");
    }
    // ENOMEM, ESTALE, ENOTCONN, EMFILE, ENFILE, ETIMEDOUT, EHOSTDOWN, ENOLINK.
    for errno in [EACCES, 12, 116, 107, 24, 23, 110, 112, 67] {
        fs.faults().read = Some((usize::MAX, errno));
        assert!(matches!(get(&store, &uid), Err(GetError::Store(_))), "{errno}");
    }
    // EINTR once: reading goes on.
    fs.faults().read = Some((1, 4));
    assert!(get(&store, &uid).expect("read"));
}

#[test]
fn a_survey_tells_what_killed_backups_have_left_and_removes_nothing() {
    let (folder, store, uid) = scene();
    let blob = folder.path().join("root").join(store.file(&uid).expect("a name"));
    let name = |end: &str| blob.with_file_name(format!("{uid}.blob.{end}"));
    for (path, hours) in [(name("00.tmp"), 25), (name("01.tmp"), 1), (name("old"), 25)] {
        std::fs::write(&path, "part").expect("written");
        let changed = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
        File::options().write(true).open(&path).expect("opened").set_modified(changed).expect("set");
    }
    // Something that has a blob's name and is none.
    let other = BlobUid::generate();
    let odd = folder.path().join("root").join(store.file(&other).expect("a name"));
    std::fs::create_dir_all(&odd).expect("made");
    let mut found = Vec::new();
    store
        .survey("", &mut |next| {
            found.push(match next {
                Found::Blob { uid, bytes, .. } => format!("{uid} {bytes:?}"),
                Found::Unfinished(name) => name.to_owned(),
            });
            Ok(())
        })
        .expect("surveyed");
    found.sort();
    let mut expected = [format!("{uid} Some(4)"), name("00.tmp").display().to_string()];
    expected.sort();
    assert_eq!(found, expected);
    assert!(name("00.tmp").exists());
    store.list("", &mut |_| Ok(())).expect("listed");
    assert!(!name("00.tmp").exists() && name("01.tmp").exists() && name("old").exists(), "a cleanup tidies");
}

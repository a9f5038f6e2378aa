//! Files that exist, files that do not, and files that others can read.

use super::*;
use crate::config::{Credential, StoreConfig};
use crate::types::remedy::Remedy;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::{TempDir, tempdir};

const REQUIRED_ONLY: &str = "[DEFAULTS]\n[MetaBackend]\n[DataBackend]\n";

fn folder() -> TempDir {
    tempdir().expect("a folder")
}

fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
}

fn at_home(home: &Path) -> Places {
    Places { home: Some(home.to_owned()), ..Places::of_system() }
}

fn load_error(origin: &Origin) -> String {
    match load(origin, &Places::of_system()) {
        Err(Error::Config(text)) => text.line(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_named_file_must_be_there() {
    let dir = folder();
    let error =
        load(&Origin::File("/nonexistent/backy.cfg".into()), &Places::of_system()).expect_err("absent");
    assert_eq!(error.line(), "File not found: /nonexistent/backy.cfg");
    assert_eq!(error.remedies(), [Remedy::NameExistingConfig]);
    let error = load_error(&Origin::File(dir.path().join("x/y")));
    assert!(error.starts_with("File not found: "), "{error}");
    let error = load_error(&Origin::File(dir.path().into()));
    assert!(
        error.starts_with(&format!("{} is a folder, not a configuration file", dir.path().display())),
        "{error}"
    );
    let error = load(&Origin::Folder(dir.path().into()), &Places::of_system()).expect_err("absent");
    assert_eq!(error.line(), format!("File not found: {}/backy.cfg", dir.path().display()));
    assert_eq!(error.remedies(), [Remedy::MakeInstallation(dir.path().into())]);
}

#[test]
fn a_file_that_is_no_configuration_is_refused() {
    let dir = folder();
    let path = dir.path().join("backy.cfg");
    for (text, message) in [
        (b"[DEFAULTS]\nlogfile: /\xff\n".as_slice(), ":2: this line is not UTF-8."),
        (b"\xff\xfe[\0s\0]\0".as_slice(), ":1: this line is not UTF-8."),
        (b"\x7fELF\0\0".as_slice(), ":1: this line stands before the first [section]."),
        (b"".as_slice(), ": there is no section [DEFAULTS]."),
    ] {
        write(&path, text, 0o600);
        let error = load_error(&Origin::File(path.clone()));
        assert!(error.starts_with(&format!("{}{message}", path.display())), "{error}");
    }
    let error = load_error(&Origin::File("/dev/zero".into()));
    assert_eq!(error, "/dev/zero cannot be read: it has more than 1048576 bytes");
}

#[test]
fn the_name_says_which_language_it_is() {
    let dir = folder();
    let path = dir.path().join("backy.toml");
    write(&path, "[DEFAULTS]\nlogfile = '/l'\n[MetaBackend]\n[DataBackend]\n", 0o644);
    let config = load(&Origin::File(path), &Places::of_system()).expect("good");
    assert_eq!(config.logfile, Path::new("/l"));
    assert!(config.warnings.is_empty());
}

#[test]
fn later_files_of_the_search_override_earlier_ones() {
    let dir = folder();
    let (etc, home, current) = (dir.path().join("etc"), dir.path().join("home"), dir.path().join("current"));
    let set = |names: &str, value: &str| {
        let lines: String = names.chars().map(|name| format!("{name}: {value}\n")).collect();
        format!("[DEFAULTS]\nprocess_name: %(a)s%(b)s%(c)s%(d)s%(e)s%(f)s\n{lines}")
    };
    write(&etc.join("backy.cfg"), set("abcdef", "1") + "[MetaBackend]\n[DataBackend]\n", 0o644);
    write(&etc.join("backy/backy.cfg"), set("bcdef", "2"), 0o644);
    write(&etc.join("backy/conf.d/20"), set("def", "4"), 0o644);
    write(&etc.join("backy/conf.d/10.toml"), "[DEFAULTS]\nc = '3'\nd = '3'\n", 0o644);
    write(&etc.join("backy/conf.d/.30"), "not a configuration", 0o644);
    write(&etc.join("backy/conf.d/folder/x"), "not a configuration", 0o644);
    write(&home.join(".backy.cfg"), set("ef", "5"), 0o644);
    write(&current.join("backy.cfg"), "[DEFAULTS]\nf: 6\n[daily]\ninterval: 1d\nkeep: 8\nsla: 6h\n", 0o644);
    let config = search(&etc, &at_home(&home), &current).expect("good");
    assert_eq!(config.process_name, "123456");
    assert_eq!(config.schedulers.len(), 1);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let config = search(&etc, &Places::of_system(), &home).expect("good");
    assert_eq!(config.process_name, "123444");
}

#[test]
fn a_search_that_finds_nothing_names_the_places() {
    let dir = folder();
    let root = dir.path();
    let error =
        search(&root.join("etc"), &at_home(&root.join("home")), Path::new("./none")).expect_err("nothing");
    let text = error.to_string();
    for place in
        ["etc/backy.cfg", "etc/backy/backy.cfg", "etc/backy/conf.d/*", "home/.backy.cfg", "./none/backy.cfg"]
    {
        assert!(text.contains(place), "{text}");
    }
    let error = search(&root.join("etc"), &Places::of_system(), root).expect_err("nothing").to_string();
    assert!(error.contains(", ~/.backy.cfg, "), "{error}");
}

#[test]
fn a_file_of_the_search_that_cannot_be_read_is_skipped_with_a_warning() {
    let dir = folder();
    let etc = dir.path().join("etc");
    fs::create_dir_all(etc.join("backy.cfg")).expect("a folder in the place of a file");
    let error = search(&etc, &Places::of_system(), dir.path()).expect_err("nothing").to_string();
    assert!(error.contains("etc/backy.cfg cannot be read and is skipped: "), "{error}");
    write(&dir.path().join("backy.cfg"), REQUIRED_ONLY, 0o644);
    let config = search(&etc, &Places::of_system(), dir.path()).expect("good");
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(
        config.warnings[0].contains("etc/backy.cfg cannot be read and is skipped: "),
        "{:?}",
        config.warnings
    );
}

#[test]
fn a_missing_section_is_reported_with_all_files() {
    let dir = folder();
    write(&dir.path().join("etc/backy.cfg"), "[DEFAULTS]\n[MetaBackend]\n", 0o644);
    write(&dir.path().join("backy.cfg"), "[DEFAULTS]\n", 0o644);
    let error = search(&dir.path().join("etc"), &Places::of_system(), dir.path())
        .expect_err("incomplete")
        .to_string();
    let path = dir.path().display();
    assert_eq!(error, format!("{path}/etc/backy.cfg, {path}/backy.cfg: there is no section [DataBackend]."));
}

#[test]
fn an_error_names_the_file_of_the_key() {
    let dir = folder();
    write(&dir.path().join("etc/backy.cfg"), REQUIRED_ONLY, 0o644);
    write(&dir.path().join("backy.cfg"), "\n[DEFAULTS]\nblock_size: 0\n", 0o644);
    let error =
        search(&dir.path().join("etc"), &Places::of_system(), dir.path()).expect_err("bad").to_string();
    let path = dir.path().display();
    assert!(error.starts_with(&format!("{path}/backy.cfg:3: [DEFAULTS] block_size: \"0\" ")), "{error}");
}

#[test]
fn a_key_that_others_can_read_is_a_warning() {
    let dir = folder();
    let path = dir.path().join("backy.cfg");
    let key = "decafbad".repeat(8);
    let with_key = format!("[DEFAULTS]\nencryption_key: {key}\n[MetaBackend]\n[DataBackend]\n");
    let inherited = format!("[DEFAULT]\nencryption_key: {key}\n{REQUIRED_ONLY}");
    let s3 = format!("{REQUIRED_ONLY}aws_secret_access_key: {key}\n");
    for (text, mode, exposed) in [
        (with_key.as_str(), 0o600, None),
        (with_key.as_str(), 0o400, None),
        (with_key.as_str(), 0o640, Some("encryption_key")),
        (with_key.as_str(), 0o604, Some("encryption_key")),
        (with_key.as_str(), 0o644, Some("encryption_key")),
        (inherited.as_str(), 0o644, Some("encryption_key")),
        (s3.as_str(), 0o644, Some("aws_secret_access_key")),
        (REQUIRED_ONLY, 0o644, None),
    ] {
        write(&path, text, mode);
        let config = load(&Origin::File(path.clone()), &Places::of_system()).expect("good");
        let expected = exposed.map(|key| {
            let path = path.display();
            format!(
                "{path} contains {key}, and users other than its owner can read it. Run `chmod 600 {path}`."
            )
        });
        assert_eq!(config.warnings, expected.into_iter().collect::<Vec<_>>(), "{mode:o}");
    }
}

#[test]
fn configurations_of_real_installations_load_without_a_warning() {
    for (fixture, block_size, process_name, schedulers) in [
        ("A", 4_194_304, "backy2fx", 3),
        ("B", 4096, "backy2fx", 3),
        ("D", 65_536, "backy2fx", 3),
        ("E", 65_536, "backy2old", 0),
    ] {
        let dir = folder();
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture).join(NAME);
        let text = fs::read_to_string(original).expect("the fixture");
        write(&dir.path().join(NAME), text.replace("@DIR@", &dir.path().display().to_string()), 0o600);
        let config = load(&Origin::Folder(dir.path().into()), &Places::of_system()).expect(fixture);
        assert!(config.warnings.is_empty(), "{fixture}: {:?}", config.warnings);
        assert_eq!((config.block_size, config.process_name.as_str()), (block_size, process_name));
        assert_eq!(config.schedulers.len(), schedulers);
        assert_eq!(config.encryption_key.is_some(), fixture != "E");
        assert_eq!((config.io.file.reads, config.data.simultaneous_writes), (5, 5));
        assert_eq!(config.lock_dir, Some(dir.path().join("lock")));
    }
}

#[test]
fn a_file_that_others_can_write_is_refused_in_every_place() {
    let dir = folder();
    let path = dir.path().join("backy.cfg");
    for mode in [0o646, 0o602, 0o666] {
        write(&path, REQUIRED_ONLY, mode);
        let named = load_error(&Origin::File(path.clone()));
        let in_folder = load_error(&Origin::Folder(dir.path().into()));
        let etc = search(dir.path(), &Places::of_system(), Path::new("/nonexistent"))
            .expect_err("refused")
            .to_string();
        for error in [named, in_folder, etc] {
            assert!(
                error.contains("can be written by users other") && error.contains("chmod go-w"),
                "{error}"
            );
        }
    }
    write(&path, REQUIRED_ONLY, 0o644);
    assert!(load(&Origin::File(path), &Places::of_system()).expect("good").warnings.is_empty());
}

#[test]
fn a_file_in_a_folder_that_others_can_write_is_read_only_if_it_is_named() {
    let dir = folder();
    let place = dir.path().join("shared");
    write(&place.join("backy.cfg"), REQUIRED_ONLY, 0o644);
    write(&place.join(".backy.cfg"), REQUIRED_ONLY, 0o644);
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).expect("changed");
    let nowhere = dir.path().join("etc");
    for (home, current) in [(&nowhere, &place), (&place, &nowhere)] {
        let error = search(&nowhere, &at_home(home), current).expect_err("refused");
        assert!(error.line().contains("which others can write to"), "{error}");
        assert_eq!(error.remedies(), [Remedy::LeaveFolder]);
    }
    let config = load(&Origin::Folder(place.clone()), &Places::of_system()).expect("it was named");
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    // In a sticky folder nobody else can replace the file.
    fs::set_permissions(&place, fs::Permissions::from_mode(0o1777)).expect("changed");
    assert!(search(&nowhere, &at_home(&nowhere), &place).expect("good").warnings.is_empty());
}

#[test]
fn a_file_of_another_user_is_read_only_if_it_is_named() {
    if !rustix::process::geteuid().is_root() {
        crate::skip::skip("a_file_of_another_user_is_read_only_if_it_is_named", "needs root");
        return;
    }
    let dir = folder();
    let path = dir.path().join("backy.cfg");
    write(&path, REQUIRED_ONLY, 0o644);
    std::os::unix::fs::chown(&path, Some(65534), None).expect("given away");
    let nowhere = dir.path().join("etc");
    let error = search(&nowhere, &Places::of_system(), dir.path()).expect_err("refused").to_string();
    assert!(error.contains("belongs to another user (number 65534)"), "{error}");
    let config = load(&Origin::File(path.clone()), &Places::of_system()).expect("it was named");
    assert!(config.warnings[0].contains("belongs to another user"), "{:?}", config.warnings);
    // Another user may have put it there.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).expect("changed");
    let error = load_error(&Origin::File(path.clone()));
    assert!(error.contains("belongs to another user"), "{error}");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("changed");
    // A file of root in a folder of another user.
    std::os::unix::fs::chown(&path, Some(0), None).expect("given back");
    std::os::unix::fs::chown(dir.path(), Some(65534), None).expect("given away");
    let error = search(&nowhere, &Places::of_system(), dir.path()).expect_err("refused").to_string();
    assert!(error.contains("of another user (number 65534)"), "{error}");
}

#[test]
fn a_file_of_a_key_that_others_can_read_is_a_warning() {
    let dir = folder();
    let (path, key) = (dir.path().join("backy.cfg"), dir.path().join("key"));
    for (mode, warned) in [(0o600, 0), (0o640, 1), (0o644, 1)] {
        write(&key, "secret", mode);
        let s3 = format!(
            "{REQUIRED_ONLY}type: s3\nbucket_name: b\naws_access_key_id: x\naws_secret_access_key_file: {}\n",
            key.display()
        );
        write(&path, s3, 0o600);
        let config = load(&Origin::File(path.clone()), &Places::of_system()).expect("good");
        assert_eq!(config.warnings.len(), warned, "{mode:o}: {:?}", config.warnings);
    }
}

#[test]
fn relative_paths_begin_where_the_file_says() {
    let dir = folder();
    let at = fs::canonicalize(dir.path()).expect("there");
    let path = dir.path().join("backy.cfg");
    let text = |value: &str| {
        format!(
            "[DEFAULTS]\n{value}logfile: a/b.log\nlock_dir: l\ncachedir: /abs/c\n[MetaBackend]\n\
             engine: sqlite:///d.sqlite\n[DataBackend]\ntype: s3\nbucket_name: b\n\
             aws_secret_access_key_file: secret\n[io_rbd]\nceph_conffile: ceph.conf\n[NBD]\ncachedir: n\n"
        )
    };
    for (value, base) in
        [("", Path::new("")), ("relative_paths: current\n", Path::new("")), ("relative_paths: folder\n", &at)]
    {
        write(&path, text(value), 0o600);
        for origin in [Origin::File(path.clone()), Origin::Folder(dir.path().into())] {
            let config = load(&origin, &Places::of_system()).expect(value);
            assert!(config.warnings.is_empty(), "{:?}", config.warnings);
            assert_eq!(config.logfile, base.join("a/b.log"));
            assert_eq!(config.lock_dir, Some(base.join("l")));
            assert_eq!(config.cachedir, Path::new("/abs/c"));
            assert_eq!(config.nbd_cachedir, base.join("n"));
            assert_eq!(config.meta.engine, format!("sqlite:///{}", base.join("d.sqlite").display()));
            assert_eq!(config.io.rbd.conffile, base.join("ceph.conf"));
            let StoreConfig::S3(s3) = config.data.store else { panic!("a bucket") };
            assert!(matches!(s3.secret_access_key, Credential::File(file) if file == base.join("secret")));
        }
    }
    write(&path, text("relative_paths: here\n"), 0o600);
    let error = load_error(&Origin::File(path));
    assert!(
        error.contains(":2: [DEFAULTS] relative_paths: \"here\" is not one of current, folder"),
        "{error}"
    );
}

#[test]
fn each_of_several_files_says_where_its_own_paths_begin() {
    let dir = folder();
    let etc = dir.path().join("etc");
    write(&etc.join(NAME), format!("{REQUIRED_ONLY}path: data\n[NBD]\ncachedir: n\n"), 0o600);
    write(
        &etc.join("backy/conf.d/x"),
        "[DEFAULTS]\nrelative_paths: folder\nlogfile: log\n[NBD]\ncachedir: m\n",
        0o600,
    );
    let config = search(&etc, &Places::of_system(), Path::new("/nonexistent")).expect("good");
    let at = fs::canonicalize(etc.join("backy/conf.d")).expect("there");
    assert_eq!((config.logfile, config.nbd_cachedir), (at.join("log"), at.join("m")));
    assert!(matches!(config.data.store, StoreConfig::File { path, .. } if path == Path::new("data")));
}

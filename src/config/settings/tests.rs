//! Defaults, every valid form of a value, and warnings. The errors are tested in `bad`.

use super::super::raw::INHERITED;
use super::super::{ini, toml};
use super::*;
use crate::types::hex::to_hex;
use crate::types::retention::Rule;
use std::path::Path;

mod bad;

const REQUIRED_ONLY: &str = "[DEFAULTS]\n[MetaBackend]\n[DataBackend]\n";

fn ini(text: &str) -> Result<Config> {
    settings(&ini::parse(text, &"f.cfg".into())?, "f.cfg", &Places::of_system())
}

fn toml(text: &str) -> Result<Config> {
    settings(&toml::parse(text, &"f.toml".into())?, "f.toml", &Places::of_system())
}

/// The required sections, with one line in the section `name`, which may be a further section. The line is the second
/// one of the file.
fn with(name: &str, line: &str) -> String {
    let mut text = format!("[{name}]\n{line}\n");
    for required in REQUIRED {
        if required != name {
            text += &format!("[{required}]\n");
        }
    }
    text
}

#[test]
fn missing_settings_have_the_defaults_of_2_13() {
    let config = ini(REQUIRED_ONLY).expect("good");
    assert_eq!(config.logfile, Path::new("/var/log/backy.log"));
    assert_eq!(config.block_size, 4_194_304);
    assert_eq!(config.hash_function, HashFunction::Sha512);
    assert_eq!(config.lock_dir, None);
    assert_eq!(
        (&config.cachedir, &config.nbd_cachedir),
        (&"/var/cache/backy2".into(), &"/var/cache/backy2".into())
    );
    assert_eq!(config.mount_cache_size, 256 << 20);
    assert_eq!(config.process_name, "backy2");
    assert_eq!(config.disallow_rm_when_younger_than_days, 0);
    assert!(config.deduplication);
    assert!(config.encryption_key.is_none());
    assert_eq!(config.encryption_version, 1);
    assert_eq!(config.meta.engine, "sqlite:////tmp/backy.sqlite");
    let StoreConfig::File { path, sync, mode } = &config.data.store else { panic!("{:?}", config.data) };
    assert_eq!((path.as_path(), *sync), (Path::new("/tmp"), Durability::Filesystem));
    assert_eq!(
        (*mode, config.file_mode, config.io.file_mode),
        (FileMode::PRIVATE, FileMode::PRIVATE, FileMode::PRIVATE)
    );
    assert_eq!((config.data.simultaneous_reads, config.data.simultaneous_writes), (1, 1));
    assert_eq!((config.data.bandwidth_read, config.data.bandwidth_write), (0, 0));
    assert!(config.data.metadata_copies);
    assert_eq!(config.io.file, Parallel { reads: 1, writes: 1 });
    assert_eq!(config.io.null, Parallel { reads: 1, writes: 1 });
    let rbd = &config.io.rbd;
    assert_eq!((rbd.conffile.as_path(), &*rbd.user), (Path::new("/etc/ceph/ceph.conf"), "client.admin"));
    assert_eq!((&*rbd.cluster, rbd.parallel), ("ceph", Parallel { reads: 10, writes: 1 }));
    assert_eq!((rbd.new_image_features, rbd.timeout), (1 | 4, Duration::from_secs(60)));
    assert!(config.metrics_file.is_none() && !config.hooks.any());
    assert!(config.schedulers.is_empty());
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn everything_can_be_set() {
    let text = "[DEFAULTS]\nlogfile: /l\nfile_mode: 0640\nblock_size = 65_536\nHash_Function: blake2b\nlock_dir: ~/k\n\
                cachedir: c\nmount_cache_size: 7\nprocess_name: b\nmetrics_file: m\ndisallow_rm_when_younger_than_days: 6\ndeduplication: No\n\
                encryption_key: 000102030405060708090A0B0C0D0E0F101112131415161718191a1b1c1d1e1f\n\
                encryption_version: 0\n\
                [MetaBackend]\ntype: sql\nengine: postgresql+psycopg2://u:p%%40@h:5432/d\n\
                [DataBackend]\ntype: file\npath: /d%%\nsync: none\nsimultaneous_writes: 2\n\
                simultaneous_reads: 3\nbandwidth_read: 4\nbandwidth_write: 5\nmetadata_copies: 0\n\
                [io_file]\nsimultaneous_reads: 6\nsimultaneous_writes: 1024\n[io_null]\n\
                simultaneous_reads: 7\n[io_rbd]\nceph_conffile: /c\nrados_name: client.b.c\ncluster_name: x\n\
                simultaneous_reads: 2\nsimultaneous_writes: 3\ntimeout: 2m\nnew_image_features:\n \
                RBD_FEATURE_LAYERING\n    exclusive-lock OBJECT_MAP\n RBD_FEATURE_FAST_DIFF\n[hooks]\nbefore: b\nafter: a\n\
                on_failure: f\ntimeout: 2h\n[hourly]\ninterval: 60m\nkeep: 0\nsla: 90s\n\
                [daily]\ninterval: 1d\nkeep: 8\nsla: 0s\n";
    let config = ini(text).expect("good");
    assert_eq!(config.logfile, Path::new("/l"));
    assert_eq!(config.block_size, 65_536);
    assert_eq!(config.hash_function, HashFunction::Blake2b);
    assert_eq!((config.lock_dir, config.cachedir.as_path()), (Some("~/k".into()), Path::new("c")));
    assert_eq!((config.process_name.as_str(), config.mount_cache_size), ("b", 7));
    assert_eq!(config.disallow_rm_when_younger_than_days, 6);
    assert_eq!(config.metrics_file.as_deref(), Some(Path::new("m")));
    let hooks = &config.hooks;
    let scripts = [&hooks.before, &hooks.after, &hooks.on_failure].map(|script| script.as_deref());
    assert_eq!((scripts, hooks.timeout.as_secs()), ([Some("b"), Some("a"), Some("f")], 7200));
    assert!(!config.deduplication);
    let key = config.encryption_key.expect("a key");
    assert_eq!(to_hex(key.bytes()), "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    assert_eq!(config.encryption_version, 0);
    assert_eq!(config.meta.engine, "postgresql+psycopg2://u:p%40@h:5432/d");
    let StoreConfig::File { path, sync, mode } = &config.data.store else { panic!("{:?}", config.data) };
    assert_eq!((path.as_path(), *sync), (Path::new("/d%"), Durability::None));
    assert_eq!((mode.file(), config.file_mode.file(), config.io.file_mode.file()), (0o640, 0o640, 0o640));
    assert_eq!((config.data.simultaneous_writes, config.data.simultaneous_reads), (2, 3));
    assert_eq!((config.data.bandwidth_read, config.data.bandwidth_write), (4, 5));
    assert!(!config.data.metadata_copies);
    assert_eq!(config.io.file, Parallel { reads: 6, writes: 1024 });
    assert_eq!(config.io.null, Parallel { reads: 7, writes: 1 });
    let rbd = &config.io.rbd;
    assert_eq!((rbd.conffile.as_path(), &*rbd.user, &*rbd.cluster), (Path::new("/c"), "client.b.c", "x"));
    assert_eq!(rbd.parallel, Parallel { reads: 2, writes: 3 });
    assert_eq!((rbd.new_image_features, rbd.timeout), (1 | 4 | 8 | 16, Duration::from_secs(120)));
    let scheduler = |name: &str, interval, keep, sla| Scheduler {
        name: name.into(),
        interval: Duration::from_secs(interval),
        keep,
        sla: Duration::from_secs(sla),
    };
    assert_eq!(config.schedulers, [scheduler("hourly", 3600, 0, 90), scheduler("daily", 86_400, 8, 0)]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn toml_has_the_same_meaning() {
    let text = "[DEFAULTS]\nlogfile = '/l'\nblock_size = 65536\ndeduplication = false\n\
                encryption_version = 0\ndisallow_rm_when_younger_than_days = '6'\n\
                [MetaBackend]\ntype = 'sql'\nengine = 'postgresql://u:p%40@h/d'\n\
                [DataBackend]\ntype = 'null'\nsync = 'file'\nuse_ssl = true\n[io_rbd]\n\
                new_image_features = ['layering']\n[io_file]\n\
                simultaneous_reads = 6\n[weekly]\ninterval = '7d'\nkeep = 5\nsla = '12h'\n[daily]\n\
                interval = '1d'\nkeep = 8\nsla = '6h'\n";
    let config = toml(text).expect("good");
    assert_eq!(config.logfile, Path::new("/l"));
    assert_eq!(config.block_size, 65_536);
    assert!(!config.deduplication);
    assert_eq!(config.encryption_version, 0);
    assert_eq!(config.disallow_rm_when_younger_than_days, 6);
    assert_eq!(config.meta.engine, "postgresql://u:p%40@h/d");
    assert!(matches!(config.data.store, StoreConfig::Null));
    assert_eq!((config.io.file, config.io.rbd.new_image_features), (Parallel { reads: 6, writes: 1 }, 1));
    let names: Vec<_> = config.schedulers.iter().map(|s| (s.name.as_str(), s.keep)).collect();
    assert_eq!(names, [("weekly", 5), ("daily", 8)]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn stores_are_known_by_long_and_short_names() {
    for name in ["file", "s3", "minio", "null"] {
        for long in ["", "backy2.data_backends."] {
            let keys = format!("type: {long}{name}\nbucket_name: b\nhost: h:9000");
            let config = ini(&with("DataBackend", &keys)).expect(name);
            match config.data.store {
                StoreConfig::File { .. } => assert_eq!(name, "file"),
                StoreConfig::Null => assert_eq!(name, "null"),
                StoreConfig::S3(config) => {
                    let secure =
                        if name == "s3" { "https://s3.us-east-1.amazonaws.com/" } else { "http://h:9000/" };
                    assert_eq!(config.endpoint.as_str(), secure);
                }
            }
        }
    }
}

#[test]
fn retention_rules_are_of_all_names_or_of_those_that_match() {
    let text = format!(
        "{REQUIRED_ONLY}[retention:vm[0-9]]\nkeep_last: 3\nkeep_within: 1y6m\n[retention]\nkeep_hourly: 1\n\
         keep_daily: 8\nkeep_weekly: 5\nkeep_monthly: 12\nkeep_yearly: unlimited\n[retention:v*]\n"
    );
    let retention = ini(&text).expect("good").retention;
    let rules = retention.of("db");
    assert_eq!(Rule::ALL.map(|rule| rules.count(rule)), [0, 1, 8, 5, 12, u64::MAX]);
    assert_eq!(rules.within, None);
    let rules = retention.of("vm1");
    assert_eq!(Rule::ALL.map(|rule| rules.count(rule)), [3, 0, 0, 0, 0, 0], "they do not inherit");
    assert_eq!(rules.within.map(|span| span.to_string()), Some("1y6m".to_owned()));
    assert!(retention.of("vmx").is_empty(), "a section without rules is an exception");
    let text =
        format!("{REQUIRED_ONLY}[retention]\nkeep_daily = 2\n['retention:*']\nkeep_last = 'unlimited'\n");
    let config = toml(&text).expect("good");
    assert_eq!(config.retention.of("x").count(Rule::Last), u64::MAX);
    assert!(config.warnings.is_empty() && config.schedulers.is_empty(), "{:?}", config.warnings);
    let error = ini(&with("retention:", "keep_last: 1")).expect_err("no pattern").to_string();
    assert!(error.contains("f.cfg:1: [retention:] has no pattern"), "{error}");
    let error = ini(&with("retention:a", "keep_dayly: 1")).expect_err("versions would be lost").to_string();
    assert!(
        error.contains("f.cfg:2: [retention:a] keep_dayly is not a known key. There are: keep_last, "),
        "{error}"
    );
}

#[test]
fn booleans_are_those_of_python() {
    for (text, value) in [("1", true), ("yes", true), ("TRUE", true), ("On", true)].into_iter().chain([
        ("0", false),
        ("no", false),
        ("False", false),
        ("oFF", false),
    ]) {
        let config = ini(&with("DEFAULTS", &format!("deduplication: {text}"))).expect(text);
        assert_eq!(config.deduplication, value, "{text}");
    }
}

#[test]
fn all_sections_inherit_from_default() {
    let text = format!(
        "{REQUIRED_ONLY}[DEFAULT]\nbase: /b\nkeep: 4\nlogfile: %(base)s/l\n[s]\ninterval: 1d\nsla: 6h\n"
    );
    let config = ini(&text).expect("good");
    assert_eq!(config.logfile, Path::new("/b/l"));
    assert_eq!(config.schedulers.first().map(|s| s.keep), Some(4));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(INHERITED, "DEFAULT");
}

#[test]
fn unknown_keys_and_sections_are_warnings() {
    for (section, lines, warning) in [
        ("DEFAULTS", "blok_size: 1", "f.cfg:2: [DEFAULTS] blok_size is not a known key: it is ignored."),
        ("DEFAULTS", "path: /d", "f.cfg:2: [DEFAULTS] path is not a known key: it is ignored."),
        ("MetaBackend", "x: decafbad%", "f.cfg:2: [MetaBackend] x is not a known key: it is ignored."),
        ("DataBackend", "engine: 1", "f.cfg:2: [DataBackend] engine is not a known key: it is ignored."),
        ("NBD", "port: 1", "f.cfg:2: [NBD] port is not a known key: it is ignored."),
        (
            "daily",
            "interval: 1d\nkeep: 1\nsla: 1h\nx: 1",
            "f.cfg:5: [daily] x is not a known key: it is ignored.",
        ),
        (
            "io_flie",
            "simultaneous_reads: 1",
            "f.cfg:1: [io_flie] is not a section that backy2 knows, nor a \
            scheduler (interval, keep, sla): it is ignored.",
        ),
        (
            "nbd",
            "cachedir: /c",
            "f.cfg:1: [nbd] is not a section that backy2 knows, nor a scheduler (interval, \
            keep, sla): it is ignored. Should it be [NBD]? Case matters.",
        ),
        (
            "DEFAULTS",
            "logfile: /l # decafbad",
            "f.cfg:2: [DEFAULTS] logfile: the text after the # is part of the \
            value. Put the comment on a line of its own.",
        ),
        (
            "io_rbd",
            "ceph_conffile: # x",
            "f.cfg:2: [io_rbd] ceph_conffile: the text after the # is part of the value. \
            Put the comment on a line of its own.",
        ),
    ] {
        let config = ini(&with(section, lines)).expect(lines);
        assert_eq!(config.warnings, [warning], "{lines}");
    }
}

#[test]
fn settings_with_an_effect_cause_no_warning() {
    for (section, line) in [
        ("DEFAULTS", "logfile: /a#b"),
        ("DEFAULTS", "logfile: %(Dir)s/x\ndir: /%(host)s\nhost: h"),
        ("DataBackend", "bucket_name: b\nhost: h:1\nsecure: 1\nsignature_version: v4"),
        ("io_rbd", "new_image_features: RBD_FEATURE_LAYERING\n  RBD_FEATURE_EXCLUSIVE_LOCK"),
        ("NBD", "cachedir: /c"),
    ] {
        let config = ini(&with(section, line)).expect(line);
        assert!(config.warnings.is_empty(), "{line}: {:?}", config.warnings);
    }
}

#[test]
fn the_debug_form_hides_secrets() {
    let text = format!(
        "[DEFAULTS]\nencryption_key: {}\n[MetaBackend]\nengine: postgresql://u:decafbad@h/d\n[DataBackend]\n",
        "decafbad".repeat(8)
    );
    let debug = format!("{:?}", ini(&text).expect("good"));
    assert!(!debug.contains("decafbad"), "{debug}");
}

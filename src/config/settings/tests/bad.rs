//! Every kind of bad value, and the message about it.

use super::*;

/// The section, a line in it, and the error text after the section.
const BAD: &[(&str, &str, &str)] = &[
    ("DEFAULTS", "logfile:", "logfile: the value is empty."),
    (
        "DEFAULTS",
        "lock_dir:\n  /k\n  cachedir: /c",
        "lock_dir: \"\\n/k\\ncachedir: /c\" is longer than one line",
    ),
    (
        "io_rbd",
        "rados_name: admin",
        "rados_name: \"admin\" is not the full name of a user, such as client.admin.",
    ),
    ("io_rbd", "rados_name: client.", "rados_name: \"client.\" is not the full name"),
    ("io_rbd", "cluster_name: a/b", "cluster_name: \"a/b\" is not one word"),
    ("io_rbd", "ceph_conffile:", "ceph_conffile: the value is empty."),
    ("io_rbd", "simultaneous_reads: 0", "simultaneous_reads: \"0\" is not a whole number from 1 to 1024."),
    ("io_rbd", "timeout: 0s", "timeout: \"0s\" is too short a time."),
    ("io_rbd", "timeout: 30", "timeout: \"30\" is not a time"),
    (
        "io_rbd",
        "new_image_features: LAYERING RBD_FEATURE_X",
        "new_image_features: \"LAYERING RBD_FEATURE_X\" has the word RBD_FEATURE_X, which is not one of \
        RBD_FEATURE_LAYERING, ",
    ),
    (
        "io_rbd",
        "new_image_features: object-map",
        "new_image_features: \"object-map\" has RBD_FEATURE_OBJECT_MAP, which needs RBD_FEATURE_EXCLUSIVE_LOCK too.",
    ),
    ("retention", "keep_daily: -1", "keep_daily: \"-1\" is not a whole number, 0 or more, or unlimited."),
    ("retention", "keep_last: all", "keep_last: \"all\" is not a whole number, 0 or more, or unlimited."),
    ("retention", "keep_within: 1w", "keep_within: \"1w\" is not a time such as 2y5m7d3h: "),
    ("retention:vm*", "keep_within:", "keep_within: the value is empty."),
    (
        "retention:vm*",
        "keep_monthly: 1m",
        "keep_monthly: \"1m\" is not a whole number, 0 or more, or unlimited.",
    ),
    ("DEFAULTS", "file_mode: 0666", "file_mode: \"0666\" lets everybody write: "),
    ("DEFAULTS", "file_mode: 0755", "file_mode: \"0755\" contains a 1 (execute permission)"),
    (
        "DEFAULTS",
        "file_mode: 0400",
        "file_mode: \"0400\" makes no sense: the owner needs read and write permission (6)",
    ),
    ("DEFAULTS", "file_mode: private", "file_mode: \"private\" is not an octal number such as 0600 or 0640"),
    ("DEFAULTS", "block_size: abc", "block_size: \"abc\" is not a whole number from 1 to 1073741824."),
    ("DEFAULTS", "block_size: 0", "block_size: \"0\" is not a whole number from 1 to 1073741824."),
    ("DEFAULTS", "block_size: -1", "block_size: \"-1\" is not a whole number"),
    ("DEFAULTS", "block_size: 4M", "block_size: \"4M\" is not a whole number"),
    ("DEFAULTS", "block_size:", "block_size: \"\" is not a whole number"),
    ("DEFAULTS", "block_size: 1073741825", "block_size: \"1073741825\" is not a whole number from 1 to"),
    ("DEFAULTS", "block_size: 99999999999999999999", "block_size: \"99999999999999999999\" is not"),
    (
        "DEFAULTS",
        "block_size: 4096 # small",
        "block_size: \"4096 # small\" is not a whole number from 1 to \
        1073741824 (a value cannot be followed by a comment: put the comment on a line of its own).",
    ),
    (
        "DEFAULTS",
        "hash_function: sha512,",
        "hash_function: \"sha512,\" is not one of md5, sha1, sha224, sha256, \
        sha384, sha512, blake2b, blake2s, sha3_224, sha3_256, sha3_384, sha3_512, blake3.",
    ),
    ("DEFAULTS", "hash_function: nosuchhash", "hash_function: \"nosuchhash\" is not one of md5, "),
    ("DEFAULTS", "hash_function: SHA512", "hash_function: \"SHA512\" is not one of md5, "),
    ("DEFAULTS", "process_name:", "process_name: the value is empty."),
    ("DEFAULTS", "process_name: a b", "process_name: \"a b\" is not one word"),
    ("DEFAULTS", "process_name: a/b", "process_name: \"a/b\" is not one word"),
    ("DEFAULTS", "process_name: a\u{a0}b", "process_name: \"a\\u{a0}b\" is not one word"),
    ("DEFAULTS", "process_name: a\u{1c}b", "process_name: \"a\\u{1c}b\" is not one word"),
    (
        "DEFAULTS",
        "disallow_rm_when_younger_than_days: x",
        "disallow_rm_when_younger_than_days: \"x\" is not a \
        whole number, 0 or more.",
    ),
    (
        "DEFAULTS",
        "deduplication: 2",
        "deduplication: \"2\" is not one of 1, yes, true, on, 0, no, false, off.",
    ),
    ("DEFAULTS", "deduplication:", "deduplication: \"\" is not one of 1, yes"),
    ("DEFAULTS", "encryption_version: 2", "encryption_version: \"2\" is not a whole number from 0 to 1."),
    ("DEFAULTS", "encryption_key:", "encryption_key: the value is empty."),
    (
        "DEFAULTS",
        "encryption_key: decafbad",
        "encryption_key: the value (not shown) is not 64 hex digits (it has \
        8 characters).",
    ),
    ("DEFAULTS", "encryption_key: %x", "encryption_key: a % must be written as %%"),
    (
        "DEFAULTS",
        "logfile: /%d/x",
        "logfile: a % must be written as %% (or begin a reference, as in %(name)s).",
    ),
    ("DEFAULTS", "logfile: %(dir)s/x", "logfile: %(dir)s refers to a key that is not in this section."),
    ("DEFAULTS", "logfile: %(dir)/x", "logfile: a reference must read %(name)s."),
    ("DEFAULTS", "logfile: %(logfile)s", "logfile: references are nested more than 10 deep, or in a circle."),
    ("MetaBackend", "type: nosuch", "type: \"nosuch\" is not one of backy2.meta_backends.sql, sql."),
    ("MetaBackend", "engine:", "engine: the value is empty."),
    (
        "MetaBackend",
        "engine: /var/backy.sqlite",
        "engine: the value (not shown) is not a URL that begins with \
        sqlite:/// or postgresql://.",
    ),
    (
        "MetaBackend",
        "engine: mysql://u:decafbad@h/d",
        "engine: \"mysql://u:***@h/d\" is not a URL that begins",
    ),
    ("MetaBackend", "engine: postgresql://u:%40decafbad@h/d", "engine: a % must be written as %%"),
    (
        "MetaBackend",
        "engine: postgresql://u:%(decafbad)s@h/d",
        "engine: a %(name)s refers to a key that is not",
    ),
    (
        "DataBackend",
        "type: ftp",
        "type: \"ftp\" is not one of backy2.data_backends.file, \
        backy2.data_backends.s3, backy2.data_backends.minio, backy2.data_backends.null, file, s3, minio, \
        null.",
    ),
    ("DataBackend", "type: File", "type: \"File\" is not one of"),
    ("DataBackend", "path:", "path: the value is empty."),
    ("DataBackend", "sync: always", "sync: \"always\" is not one of filesystem, file, none."),
    (
        "DataBackend",
        "simultaneous_reads: 0",
        "simultaneous_reads: \"0\" is not a whole number from 1 to 1024.",
    ),
    (
        "DataBackend",
        "simultaneous_writes: 1025",
        "simultaneous_writes: \"1025\" is not a whole number from 1 to",
    ),
    ("DataBackend", "bandwidth_read: -5", "bandwidth_read: \"-5\" is not a whole number, 0 or more."),
    (
        "DataBackend",
        "metadata_copies: maybe",
        "metadata_copies: \"maybe\" is not one of 1, yes, true, on, 0, no, false, off",
    ),
    ("DataBackend", "bandwidth_write: 10M", "bandwidth_write: \"10M\" is not a whole number, 0 or more."),
    (
        "io_file",
        "simultaneous_reads: many",
        "simultaneous_reads: \"many\" is not a whole number from 1 to 1024.",
    ),
    ("io_null", "simultaneous_writes: 0", "simultaneous_writes: \"0\" is not a whole number from 1 to 1024."),
    (
        "daily",
        "interval: 1\nkeep: 8\nsla: 6h",
        "interval: \"1\" is not a time: a whole number and s, m, h or d, \
        for example 6h or 1d.",
    ),
    ("daily", "interval: 1w\nkeep: 8\nsla: 6h", "interval: \"1w\" is not a time"),
    ("daily", "interval: 0d\nkeep: 8\nsla: 6h", "interval: \"0d\" is too short a time."),
    ("daily", "interval: 36501d\nkeep: 8\nsla: 6h", "interval: \"36501d\" is longer than 36500d."),
    ("daily", "interval: 1d\nkeep: 8\nsla: -6h", "sla: \"-6h\" is not a time"),
    (
        "daily",
        "interval: 1d\nkeep: 100001\nsla: 6h",
        "keep: \"100001\" is not a whole number from 0 to 100000.",
    ),
    ("daily", "interval: 1d\nkeep: x\nsla: 6h", "keep: \"x\" is not a whole number from 0 to 100000."),
];

#[test]
fn a_bad_value_is_reported_with_file_section_key_and_value() {
    for (section, lines, problem) in BAD {
        let key = problem.split(':').next().expect("a key");
        let line = 2 + lines.lines().position(|line| line.starts_with(key)).expect("the key's line");
        let error = ini(&with(section, lines)).expect_err(lines);
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        let (error, start) = (error.to_string(), format!("f.cfg:{line}: [{section}] {problem}"));
        assert!(error.starts_with(&start), "{lines:?}\n gave {error}\n  not {start}");
        assert!(!error.contains("decafbad"), "{error}");
    }
}

#[test]
fn toml_values_of_the_wrong_type_are_bad_values() {
    for (section, line, problem) in [
        ("DEFAULTS", "logfile = 5", "logfile: \"5\" is not a string (in quotes)."),
        ("DEFAULTS", "block_size = true", "block_size: \"true\" is not a whole number from 1 to 1073741824."),
        ("DEFAULTS", "block_size = -1", "block_size: \"-1\" is not a whole number"),
        ("DEFAULTS", "hash_function = 'sha512 # x'", "hash_function: \"sha512 # x\" is not one of md5"),
        ("DEFAULTS", "deduplication = 2", "deduplication: \"2\" is not one of 1, yes"),
        ("DEFAULTS", "encryption_key = 12345678", "encryption_key: the value (not shown) is not a string"),
        (
            "DEFAULTS",
            "encryption_version = false",
            "encryption_version: \"false\" is not a whole number from 0 to 1.",
        ),
        ("DataBackend", "type = true", "type: \"true\" is not a string (in quotes)."),
    ] {
        let error = toml(&with(section, line)).expect_err(line).to_string();
        let start = format!("f.toml:2: [{section}] {problem}");
        assert!(error.starts_with(&start), "{line:?}\n gave {error}\n  not {start}");
        assert!(!error.contains("followed by a comment"), "TOML has comments: {error}");
    }
}

#[test]
fn missing_sections_are_named() {
    for missing in REQUIRED {
        let text = REQUIRED_ONLY.replace(&format!("[{missing}]\n"), "");
        let error = ini(&text).expect_err(missing).to_string();
        assert_eq!(error, format!("f.cfg: there is no section [{missing}]."));
    }
    assert_eq!(ini("").expect_err("empty").to_string(), "f.cfg: there is no section [DEFAULTS].");
    let error = ini("[DEFAULT]\n[MetaBackend]\n[DataBackend]\n").expect_err("misspelt").to_string();
    assert!(error.ends_with("There is [DEFAULT] in f.cfg:1: sections are case-sensitive."), "{error}");
    let error = ini("[DEFAULTS]\n[metabackend]\n[DataBackend]\n").expect_err("misspelt").to_string();
    assert!(error.ends_with("There is [metabackend] in f.cfg:2: sections are case-sensitive."), "{error}");
}

#[test]
fn an_incomplete_scheduler_is_an_error() {
    for missing in known::SCHEDULER {
        let lines = "interval: 1d\nkeep: 8\nsla: 6h\n".lines().filter(|line| !line.starts_with(missing));
        let text = format!("{REQUIRED_ONLY}[daily]\n{}", lines.collect::<Vec<_>>().join("\n"));
        let error = ini(&text).expect_err(missing).to_string();
        assert!(error.starts_with(&format!("f.cfg:4: [daily] there is no key {missing}. ")), "{error}");
        assert!(error.ends_with("needs interval, keep, sla."), "{error}");
    }
}

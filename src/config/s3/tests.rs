use super::super::raw::Raw;
use super::super::settings::settings;
use super::super::{Config, StoreConfig, ini};
use super::*;
use crate::config::Places;

fn raw(lines: &str) -> Raw {
    ini::parse(&format!("[DEFAULTS]\n[MetaBackend]\n[DataBackend]\n{lines}\n"), &"f.cfg".into()).expect("ini")
}

fn all(lines: &str) -> Result<Config> {
    settings(&raw(lines), "f.cfg", &Places::of_system())
}

fn store(lines: &str) -> S3Config {
    match all(lines).expect(lines).data.store {
        StoreConfig::S3(config) => *config,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bucket_of_aws_needs_nothing_but_its_name() {
    let config = store("type: s3\nbucket_name: b");
    assert_eq!(config.endpoint.as_str(), "https://s3.us-east-1.amazonaws.com/");
    assert_eq!((config.region.as_str(), config.bucket.as_str()), ("us-east-1", "b"));
    assert_eq!(config.addressing, Addressing::Path);
    assert!(config.encoding_type);
    assert_eq!((config.timeout.as_secs(), config.retry_time.as_secs()), (60, 300));
    let config = store("type: s3\nbucket_name: b\nregion_name: cn-north-1\nuse_ssl: no");
    assert_eq!(config.endpoint.as_str(), "http://s3.cn-north-1.amazonaws.com.cn/");
}

#[test]
fn the_endpoint_is_a_url_or_a_host() {
    for (lines, endpoint) in [
        ("endpoint_url: http://h:9000", "http://h:9000/"),
        ("endpoint_url: https://h/path", "https://h/path"),
        ("endpoint_url: h:9000", "https://h:9000/"),
        ("endpoint_url: h:9000\nuse_ssl: false", "http://h:9000/"),
        ("endpoint_url: https://[::1]:9000", "https://[::1]:9000/"),
    ] {
        let config = store(&format!("type: s3\nbucket_name: b\n{lines}"));
        assert_eq!((config.endpoint.as_str(), config.names.endpoint), (endpoint, "endpoint_url"));
    }
    for (secure, endpoint) in
        [("", "http://h:9000/"), ("secure: 1", "https://h:9000/"), ("secure: 0", "http://h:9000/")]
    {
        let config = store(&format!("type: minio\nbucket_name: b\nhost: h:9000\n{secure}"));
        assert_eq!((config.endpoint.as_str(), config.names.tls), (endpoint, "secure"));
    }
}

#[test]
fn a_contradiction_is_reported() {
    let lines = "type: s3\nbucket_name: b\nendpoint_url: http://h\nuse_ssl: true";
    let warnings = all(lines).expect("good").warnings;
    assert_eq!(
        warnings,
        ["f.cfg:7: [DataBackend] use_ssl has no effect: endpoint_url (f.cfg:6) already determines it."]
    );
    for good in [
        "endpoint_url: http://h\nuse_ssl: no",
        "endpoint_url: https://h\nuse_ssl: yes",
        "endpoint_url: http://h",
    ] {
        let config = all(&format!("type: s3\nbucket_name: b\n{good}")).expect("good");
        assert!(config.warnings.is_empty(), "{good}: {:?}", config.warnings);
    }
}

#[test]
fn bad_values_are_named() {
    for (lines, problem) in [
        ("type: s3", "f.cfg:4: [DataBackend] bucket_name is missing"),
        ("type: minio\nbucket_name: b", "f.cfg:4: [DataBackend] host is missing"),
        ("type: minio\nbucket_name: b\nhost: http://h", "host: \"http://h\" is not HOST:PORT"),
        ("type: minio\nbucket_name: b\nhost: h:x", "host: \"h:x\" is not the address of a server"),
        ("type: s3\nbucket_name: a/b", "bucket_name: \"a/b\" is not the name of a bucket"),
        ("type: s3\nbucket_name: ..", "bucket_name: \"..\" is not the name of a bucket"),
        (
            "type: s3\nbucket_name: b\nendpoint_url: ftp://h",
            "endpoint_url: \"ftp://h\" is not the address of a server",
        ),
        (
            "type: s3\nbucket_name: b\nendpoint_url: http://u:pass@h",
            "endpoint_url: \"http://u:***@h\" is not the address",
        ),
        ("type: s3\nbucket_name: b\nregion_name: a b", "region_name: \"a b\" does not give a valid address"),
        (
            "type: s3\nbucket_name: b\naddressing_style: dns",
            "addressing_style: \"dns\" is not one of path, virtual",
        ),
        (
            "type: s3\nbucket_name: b\nsignature_version: s3",
            "signature_version: \"s3\" is not supported: requests are",
        ),
        ("type: s3\nbucket_name: b\nuse_ssl: perhaps", "use_ssl: \"perhaps\" is not one of"),
        ("type: s3\nbucket_name: b\ntimeout: 0", "timeout: \"0\" is not a whole number from 1"),
        ("type: s3\nbucket_name: b\nretry_time: 5m", "retry_time: \"5m\" is not a whole number from 0"),
        ("type: s3\nbucket_name: b\naws_access_key_id:", "aws_access_key_id: the value is empty"),
    ] {
        let error = all(lines).expect_err(lines).to_string();
        assert!(error.contains(problem), "{lines:?}\n gave {error}\n  not {problem}");
    }
}

#[test]
fn both_names_of_the_signature_and_all_styles_are_taken() {
    for (line, style) in [
        ("signature_version: v4", Addressing::Path),
        ("signature_version: s3v4", Addressing::Path),
        ("addressing_style: auto", Addressing::Path),
        ("addressing_style: virtual", Addressing::Virtual),
    ] {
        assert_eq!(store(&format!("type: s3\nbucket_name: b\n{line}")).addressing, style);
    }
    assert!(!store("type: s3\nbucket_name: b\ndisable_encoding_type: true").encoding_type);
}

#[test]
fn credentials_come_from_the_configuration_a_file_or_the_environment() {
    let variable = |name: &str| Some(format!("of {name}"));
    let given = |credential: &Credential| match credential {
        Credential::Given(secret) => secret.reveal().to_owned(),
        other => format!("{other:?}"),
    };
    let mut config = store("type: s3\nbucket_name: b");
    config.complete(variable);
    assert_eq!(given(&config.access_key_id), "of AWS_ACCESS_KEY_ID");
    assert_eq!(given(&config.secret_access_key), "of AWS_SECRET_ACCESS_KEY");
    assert_eq!(config.session_token.as_ref().map(Secret::reveal), Some("of AWS_SESSION_TOKEN"));

    let lines = "type: s3\nbucket_name: b\naws_access_key_id: id\naws_secret_access_key_file: /f\n\
                 aws_access_key_id_file: /g";
    let mut config = store(lines);
    config.complete(variable);
    assert_eq!(given(&config.access_key_id), "id");
    assert_eq!(given(&config.secret_access_key), "File(\"/f\")");
    assert_eq!(config.session_token, None, "it belongs to other credentials");

    let mut config = store("type: s3\nbucket_name: b");
    config.complete(|_| Some(String::new()));
    assert!(matches!(config.access_key_id, Credential::Unset), "empty is unset");
    let mut config = store("type: s3\nbucket_name: b\naws_access_key_id: decafbad");
    config.complete(variable);
    assert!(!format!("{config:?}").contains("decafbad"), "a key never shows");
}

use super::*;

fn parse(url: &str) -> Address {
    Address::parse(url).expect(url)
}

#[test]
fn every_part_is_read() {
    let address = parse(
        "postgresql+psycopg2://us%40er:p%2Fw%3A@db.example:5433/back%20y?sslmode=verify-full&sslrootcert=/ca.pem\
         &connect_timeout=1&application_name=x&options=-csearch_path%3Da",
    );
    assert_eq!((&address.user[..], address.password.as_deref()), ("us@er", Some("p/w:")));
    assert_eq!((&address.host[..], address.port, &address.database[..]), ("db.example", 5433, "back y"));
    assert_eq!((address.verify, address.root_certificates), (Verify::Full, Some("/ca.pem".into())));
    assert_eq!(address.connect_timeout, Duration::from_secs(2));
    assert_eq!(address.options.as_deref(), Some("-csearch_path=a"));
    let ipv6 = parse("postgres://u@[::1]/d");
    assert_eq!((&ipv6.host[..], &ipv6.to_string()[..]), ("::1", "postgresql://u@[::1]:5432/d"));
}

#[test]
fn missing_parts_get_the_defaults_of_libpq() {
    let address = parse("postgresql:///backy2");
    assert!(address.is_local() && !address.user.is_empty());
    assert_eq!(parse("postgresql://someone@h").database, "someone");
    assert_eq!(parse("postgresql://u@/d?host=/tmp/s&port=7").host, "/tmp/s");
    assert_eq!(parse("postgresql://u@%2Ftmp%2Fs/d").host, "/tmp/s");
    let checked = parse("postgresql://u@h/d?sslmode=require&sslrootcert=/ca.pem");
    assert_eq!(checked.verify, Verify::Authority);
}

#[test]
fn mistakes_are_reported_without_the_password() {
    for (url, word) in [
        ("postgresql://u:secret@h:x/d", "URL"),
        ("postgresql://u:secret@h/d?sslmode=no", "sslmode"),
        ("postgresql://u:secret@h/d?colour=red", "colour"),
        ("postgresql://u:secret@a,b/d", "several hosts"),
        ("postgresql://u:secret@h/d?sslcert=/x", "sslkey"),
        ("postgresql://u:secret@h/d?connect_timeout=soon", "connect_timeout"),
        ("postgresql://u:secret@h/d?channel_binding=maybe", "channel_binding"),
        // A part of the password would become a host, a database or a parameter.
        ("postgresql://u:p@secret/w@h/d", "%40"),
        ("postgresql://u:1234/secret@h/d", "%40"),
        ("postgresql://u:1234?secret@h/d", "%40"),
        ("postgresql://u:1234#secret@h/d", "%23"),
    ] {
        let error = Address::parse(url).expect_err(url);
        assert!(error.contains(word) && !error.contains("secret"), "{url}: {error}");
    }
    let address = parse("postgresql://u:secret@h/d");
    assert!(!format!("{address} {address:?}").contains("secret"));
}

#[test]
fn the_last_at_ends_the_password_and_several_are_noted() {
    let several = parse("postgresql://u:p@ss@h/d");
    assert_eq!(
        (several.password.as_deref(), &several.host[..], several.is_doubtful),
        (Some("p@ss"), "h", true)
    );
    assert!(!parse("postgresql://u:p%40ss@h/d?user=me@x").is_doubtful);
}

#[test]
fn another_host_needs_tls_or_scram_unless_the_url_says_otherwise() {
    for (rest, verify) in [
        ("u@h/d", Verify::Careful),
        ("u@0.0.0.0/d", Verify::Careful),
        ("u@10.0.0.1/d?host=192.0.2.1", Verify::Careful),
        ("u@127.0.0.2/d", Verify::Optional),
        ("u@[::1]/d", Verify::Optional),
        ("u@localhost/d", Verify::Optional),
        ("/d", Verify::Optional),
        ("u@h/d?sslmode=prefer", Verify::Optional),
        ("u@h/d?sslmode=disable", Verify::NoTls),
        ("u@h/d?sslmode=require", Verify::Encrypted),
    ] {
        assert_eq!(parse(&format!("postgresql://{rest}")).verify, verify, "{rest}");
    }
}

use super::*;

const NAMES: Names = Names { endpoint: "endpoint_url", tls: "use_ssl" };

fn answer(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>It  is\nso.</Message></Error>")
}

#[test]
fn answers_are_judged_by_status_and_code() {
    for (status, code, kind) in [
        (404, "NoSuchKey", Kind::Missing),
        (404, "NoSuchBucket", Kind::Lasting),
        (404, "", Kind::Lasting),
        (403, "AccessDenied", Kind::Lasting),
        (400, "RequestTimeout", Kind::Busy),
        (400, "BadDigest", Kind::Busy),
        (400, "InvalidArgument", Kind::Lasting),
        (408, "", Kind::Busy),
        (429, "", Kind::Busy),
        (500, "InternalError", Kind::Busy),
        (502, "", Kind::Busy),
        (503, "SlowDown", Kind::Busy),
        (504, "", Kind::Busy),
        (501, "NotImplemented", Kind::Unknown),
        (405, "MethodNotAllowed", Kind::Unknown),
        (200, "InternalError", Kind::Busy),
        (301, "PermanentRedirect", Kind::Lasting),
    ] {
        let failure = Failure::of_answer(status, &answer(code), NAMES);
        assert_eq!((failure.kind, failure.status), (kind, Some(status)), "{status} {code}");
    }
    assert_eq!(Failure::of_object("SlowDown", "", NAMES).kind, Kind::Busy);
    assert_eq!(Failure::of_object("503", "", NAMES).kind, Kind::Busy);
    assert_eq!(Failure::of_object("AccessDenied", "", NAMES).kind, Kind::Lasting);
    assert_eq!(Failure::of_object("NoSuchKey", "", NAMES).kind, Kind::Missing);
}

#[test]
fn messages_say_which_setting_to_look_at() {
    let minio = Names { endpoint: "host", tls: "secure" };
    for (status, body, names, text) in [
        (
            403,
            answer("SignatureDoesNotMatch"),
            NAMES,
            "the server answers 403 SignatureDoesNotMatch: It is so. See aws_secret_access_key in [DataBackend], or \
             the environment variable",
        ),
        (
            404,
            answer("NoSuchBucket"),
            NAMES,
            "the server answers 404 NoSuchBucket: It is so. See bucket_name in \
             [DataBackend]: the bucket must exist",
        ),
        (
            400,
            "<html>Bad</html>".into(),
            minio,
            "the server answers 400, and not as S3 does. See host and secure in [DataBackend]: is this a server \
             of S3?",
        ),
        (503, answer("SlowDown"), NAMES, "the server answers 503 SlowDown: It is so"),
    ] {
        assert_eq!(Failure::of_answer(status, &body, names).reason.line(), text);
    }
    let page = format!("<Error><Code>AccessDenied</Code><Message>{}</Message></Error>", "x ".repeat(5000));
    assert!(Failure::of_answer(403, &page, NAMES).reason.line().len() < 600, "messages stay readable");
}

#[test]
fn errors_of_the_network_pass_and_those_of_tls_do_not() {
    let io = |kind: ErrorKind, text: &str| ureq::Error::Io(std::io::Error::new(kind, text));
    for (error, kind, word) in [
        (io(ErrorKind::ConnectionReset, "reset"), Kind::Network, "reset"),
        (io(ErrorKind::ConnectionRefused, "refused"), Kind::Network, "endpoint_url"),
        (io(ErrorKind::UnexpectedEof, "end"), Kind::Network, "end"),
        (
            io(ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer"),
            Kind::Lasting,
            "SSL_CERT_FILE",
        ),
        (io(ErrorKind::InvalidData, "corrupt message"), Kind::Lasting, "use_ssl"),
        (ureq::Error::HostNotFound, Kind::Network, "endpoint_url"),
        (ureq::Error::BadUri("x".into()), Kind::Lasting, "endpoint_url"),
    ] {
        let failure = Failure::of_transport(error, NAMES);
        assert!(failure.kind == kind && failure.reason.line().contains(word), "{failure:?}");
    }
}

use super::*;

const NAMES: Names = Names { endpoint: "endpoint_url", tls: "use_ssl" };

fn answer(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>It  is\nso.</Message></Error>")
}

#[test]
fn answers_are_judged_by_status_and_code() {
    for (status, code, kind) in [
        (404, "NoSuchKey", FailureKind::Missing),
        (404, "NoSuchBucket", FailureKind::Lasting),
        (404, "", FailureKind::Lasting),
        (403, "AccessDenied", FailureKind::Lasting),
        (400, "RequestTimeout", FailureKind::Busy),
        (400, "BadDigest", FailureKind::Busy),
        (400, "InvalidArgument", FailureKind::Lasting),
        (408, "", FailureKind::Busy),
        (429, "", FailureKind::Busy),
        (500, "InternalError", FailureKind::Busy),
        (502, "", FailureKind::Busy),
        (503, "SlowDown", FailureKind::Busy),
        (504, "", FailureKind::Busy),
        (501, "NotImplemented", FailureKind::Unknown),
        (405, "MethodNotAllowed", FailureKind::Unknown),
        (200, "InternalError", FailureKind::Busy),
        (301, "PermanentRedirect", FailureKind::Lasting),
    ] {
        let failure = Failure::of_answer(status, &answer(code), NAMES);
        assert_eq!((failure.kind, failure.status), (kind, Some(status)), "{status} {code}");
    }
    assert_eq!(Failure::of_object("SlowDown", "", NAMES).kind, FailureKind::Busy);
    assert_eq!(Failure::of_object("503", "", NAMES).kind, FailureKind::Busy);
    assert_eq!(Failure::of_object("AccessDenied", "", NAMES).kind, FailureKind::Lasting);
    assert_eq!(Failure::of_object("NoSuchKey", "", NAMES).kind, FailureKind::Missing);
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
        (io(ErrorKind::ConnectionReset, "reset"), FailureKind::Network, "reset"),
        (io(ErrorKind::ConnectionRefused, "refused"), FailureKind::Network, "endpoint_url"),
        (io(ErrorKind::UnexpectedEof, "end"), FailureKind::Network, "end"),
        (
            io(ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer"),
            FailureKind::Lasting,
            "SSL_CERT_FILE",
        ),
        (io(ErrorKind::InvalidData, "corrupt message"), FailureKind::Lasting, "use_ssl"),
        (ureq::Error::HostNotFound, FailureKind::Network, "endpoint_url"),
        (ureq::Error::BadUri("x".into()), FailureKind::Lasting, "endpoint_url"),
    ] {
        let failure = Failure::of_transport(error, NAMES);
        assert!(failure.kind == kind && failure.reason.line().contains(word), "{failure:?}");
    }
}

//! Servers that require a password and TLS.

use crate::common::disk::run;
use crate::common::install::{Install, noise};
use crate::common::postgres::{Database, Server, Stop, USER};
use crate::common::skip;
use std::os::unix::fs::PermissionsExt;

const BLOCK: usize = 4096;
const PASSWORD: &str = "open/sesame:7%";
/// The password as it is written in the URL in a configuration.
const ENCODED: &str = "open%%2Fsesame%%3A7%%25";

/// A separate server that lets the user of the tests in only with a password and TLS. It comes with an installation
/// that was made before that, a version, and the file with the server's certificate for 127.0.0.1.
struct Secure {
    install: Install,
    uid: String,
    certificate: String,
}

/// Makes a key and a self-signed certificate in the server's data folder.
const MAKE: &str = "umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
    -keyout server.key -out server.crt 2>&1";

impl Secure {
    fn new(test: &str) -> Option<Secure> {
        if let Err(reason) = run("openssl", &["version"]) {
            skip(test, &reason);
            return None;
        }
        let server = Server::own(test)?;
        let install = Install::on_server(BLOCK as u32, Database::new(&server));
        let uid = install.backup(&[&install.image("image", &noise(1, 10 * BLOCK)), "vm"]);
        server.admin(&format!(
            "CREATE TEMP TABLE told (line text); COPY told FROM PROGRAM '{MAKE}' WITH (DELIMITER E'\\x01');
             SET password_encryption = 'scram-sha-256'; ALTER ROLE {USER} PASSWORD '{PASSWORD}';"
        ));
        server.admin("ALTER SYSTEM SET ssl = on");
        let data = server.socket_folder().join("data");
        let rules = format!(
            "host all admin 127.0.0.1/32 trust\nhostssl all {USER} 127.0.0.1/32 scram-sha-256\n\
             local all {USER} scram-sha-256\n"
        );
        // Write into the existing file, which the server owns.
        std::fs::write(data.join("pg_hba.conf"), rules).expect("written");
        std::fs::copy(data.join("server.crt"), install.path("server.crt")).expect("copied");
        server.restart(Stop::Fast);
        let certificate = install.text("server.crt");
        Some(Secure { install, uid, certificate })
    }

    /// The URL with `account` between `//` and `@`, and with parameters.
    fn url(&self, account: &str, parameters: &str) -> String {
        let usual = self.install.postgres().expect("PostgreSQL").url();
        format!("{}{parameters}", usual.replacen(&format!("{USER}@"), &format!("{account}@"), 1))
    }

    /// Commands work with that URL.
    fn works(&self, url: &str) {
        self.install.set("engine", url);
        assert_eq!(self.install.uids(&[]), [self.uid.as_str()], "{url}");
    }

    /// With that URL a command fails at the start. Its output contains `word`, and not the password.
    fn refused(&self, url: &str, word: &str) {
        self.install.set("engine", url);
        let run = self.install.run(&["-d", "ls"]);
        assert_eq!(run.code, 1, "{url}: {run:?}");
        assert!(run.stderr.contains(word), "{url} must say {word:?}: {run:?}");
        self.no_password(&[run.stdout, run.stderr]);
    }

    fn no_password(&self, texts: &[String]) {
        let log = std::fs::read_to_string(self.install.path("backy.log")).expect("read");
        for text in texts.iter().chain([&log]) {
            assert!(!text.contains("sesame"), "the password is told: {text}");
        }
    }
}

#[test]
fn passwords_come_from_the_url_or_a_file_and_are_never_shown() {
    const NAME: &str = "passwords_come_from_the_url_or_a_file_and_are_never_shown";
    let Some(secure) = Secure::new(NAME) else { return };
    secure.works(&secure.url(&format!("{USER}:{ENCODED}"), ""));
    secure.refused(&secure.url(USER, ""), "password");
    secure.refused(&secure.url(&format!("{USER}:sesame-close"), ""), "password");
    secure.refused(&secure.url(&format!("nobody:{ENCODED}"), ""), "nobody");

    let file = secure.install.text("passwords");
    let parameter = format!("?passfile={file}");
    std::fs::write(&file, format!("other:*:*:*:x\n127.0.0.1:*:*:{USER}:{}\n", PASSWORD.replace(':', "\\:")))
        .expect("written");
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("chmod");
    mode(0o644);
    secure.refused(&secure.url(USER, &parameter), &file);
    mode(0o600);
    secure.works(&secure.url(USER, &parameter));

    // A command that works does not show the password, either: not in its output, nor in the list of processes.
    secure.install.set("engine", &secure.url(&format!("{USER}:{ENCODED}"), ""));
    let done = secure.install.run(&["-d", "scrub", &secure.uid]);
    assert_eq!(done.code, 0, "{done:?}");
    secure.no_password(&[done.stdout, done.stderr]);
}

#[test]
fn certificates_are_verified_as_far_as_the_url_says() {
    const NAME: &str = "certificates_are_verified_as_far_as_the_url_says";
    let Some(secure) = Secure::new(NAME) else { return };
    let account = format!("{USER}:{ENCODED}");
    let other = secure.install.text("other.crt");
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=other",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            "/dev/null",
            "-out",
            &other,
        ],
    )
    .expect("a certificate");
    let (good, bad) = (format!("&sslrootcert={}", secure.certificate), format!("&sslrootcert={other}"));
    for mode in ["prefer", "require"] {
        secure.works(&secure.url(&account, &format!("?sslmode={mode}")));
    }
    for mode in ["verify-ca", "verify-full"] {
        secure.works(&secure.url(&account, &format!("?sslmode={mode}{good}")));
        secure.refused(&secure.url(&account, &format!("?sslmode={mode}{bad}")), "certificate");
        // No authority of the system has signed it.
        secure.refused(&secure.url(&account, &format!("?sslmode={mode}")), "certificate");
    }
    secure.refused(&secure.url(&account, "?sslmode=disable"), "pg_hba.conf");
    // The certificate is for 127.0.0.1 only.
    let localhost = |mode: &str| {
        secure.url(&account, &format!("?sslmode={mode}{good}")).replacen("@127.0.0.1:", "@localhost:", 1)
    };
    secure.works(&localhost("verify-ca"));
    secure.refused(&localhost("verify-full"), "certificate");
}

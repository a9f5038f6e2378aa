//! The number of connections that a command needs, and poolers in front of the server.

use crate::common::install::{Install, noise};
use crate::common::pgbouncer::PgBouncer;
use crate::common::postgres::{Database, Server};
use crate::common::skip;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;

/// An installation on a server that allows its user at most `most` connections.
fn limited(test: &str, most: u32) -> Option<Install> {
    let server = Server::own(test)?;
    let install = Install::on_server(BLOCK as u32, Database::new(&server));
    install.image("image", &noise(1, 3 * BLOCK));
    server.admin(&format!("ALTER ROLE {} CONNECTION LIMIT {most}", crate::common::postgres::USER));
    Some(install)
}

#[test]
fn a_second_connection_that_never_came_fails_at_once_with_the_reason() {
    let name = "a_second_connection_that_never_came_fails_at_once_with_the_reason";
    let Some(install) = limited(name, 1) else { return };
    let started = Instant::now();
    let error = install.fails(100, &["backup", &install.url("image"), "vm"]);
    assert!(error.contains("too many connections") && error.contains("up to three"), "{error}");
    // A server that went away is waited for two minutes.
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    install.ok(&["ls"]);
}

#[test]
fn two_connections_are_enough_for_a_backup_and_three_for_all() {
    let name = "two_connections_are_enough_for_a_backup_and_three_for_all";
    let Some(install) = limited(name, 2) else { return };
    let uid = install.backup(&[&install.url("image"), "vm"]);
    let user = crate::common::postgres::USER;
    let server = install.postgres().expect("PostgreSQL").server();
    // The server ends the sessions of a command a little later than the command ends.
    let until_none_is_left = format!(
        "DO $$ BEGIN
             FOR n IN 1..1000 LOOP
                 EXIT WHEN NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE usename = '{user}');
                 PERFORM pg_sleep(0.01);
                 PERFORM pg_stat_clear_snapshot();
             END LOOP;
         END $$"
    );
    for args in
        [&["scrub", &uid][..], &["restore", &uid, &install.url("out")], &["cleanup", "--full"], &["locks"]]
    {
        server.admin(&until_none_is_left);
        install.ok(args);
    }
    server.admin(&until_none_is_left);
    server.admin(&format!("ALTER ROLE {user} CONNECTION LIMIT 3"));
    install.ok(&["migrate-encryption", &uid]);
}

fn pooled(test: &str, mode: &str, connections: u32) -> Option<(Install, PgBouncer)> {
    let server = Server::get(test)?;
    let install = Install::new(BLOCK as u32);
    install.image("image", &noise(1, 3 * BLOCK));
    let pooler = PgBouncer::start(&server, mode, connections).map_err(|reason| skip(test, &reason)).ok()?;
    let url = pooler.url(&server, &install.postgres().expect("PostgreSQL").url());
    install.set("engine", &url);
    Some((install, pooler))
}

#[test]
fn a_pooler_of_sessions_is_as_good_as_the_server() {
    let Some((install, _pooler)) = pooled("a_pooler_of_sessions_is_as_good_as_the_server", "session", 3)
    else {
        return;
    };
    let uid = install.backup(&[&install.url("image"), "vm"]);
    install.ok(&["scrub", &uid]);
    install.ok(&["migrate-encryption", &uid]);
    install.ok(&["cleanup", "--full"]);
}

#[test]
fn a_pooler_of_transactions_is_recognised_and_named() {
    let Some((install, _pooler)) =
        pooled("a_pooler_of_transactions_is_recognised_and_named", "transaction", 5)
    else {
        return;
    };
    for args in [&["ls"][..], &["backup", &install.url("image"), "vm"]] {
        let started = Instant::now();
        let error = install.fails(1, args);
        assert!(error.contains("transaction pooling") && error.contains("pool_mode = session"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_pooler_with_one_connection_is_reported_without_a_wait() {
    let name = "a_pooler_with_one_connection_is_reported_without_a_wait";
    let Some((install, pooler)) = pooled(name, "session", 1) else { return };
    let server = Server::get(name).expect("there");
    let url = pooler.url(&server, &install.postgres().expect("PostgreSQL").url());
    install.set("engine", &format!("{url}?connect_timeout=2"));
    let started = Instant::now();
    let error = install.fails(1, &["backup", &install.url("image"), "vm"]);
    assert!(error.contains("refuses a second connection") && error.contains("up to three"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

//! Several schemas in one database, and the order of rows in a table.

use crate::common::install::{Install, noise};
use crate::common::postgres::{Database, Server, USER};

const BLOCK: usize = 4096;

fn installed() -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let uid = install.backup(&[&install.image("image", &noise(1, 3 * BLOCK)), "vm"]);
    (install, uid)
}

/// Runs SQL as the user of the tests.
fn sql(install: &Install, sql: &str) {
    install.postgres().expect("PostgreSQL").client().batch_execute(sql).expect(sql);
}

#[test]
fn a_schema_named_like_the_user_that_appears_later_changes_nothing() {
    let (install, uid) = installed();
    sql(&install, &format!("CREATE SCHEMA {USER}"));
    assert_eq!(install.uids(&[]), [uid.as_str()]);
    let error = install.fails(100, &["initdb"]);
    assert!(error.contains("in the schema public"), "{error}");
    let other = install.backup(&[&install.url("image"), "other"]);
    install.ok(&["rm", &other]);
    install.ok(&["cleanup", "--full"]);
    install.ok(&["scrub", &uid]);
    let tables = format!(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                          WHERE n.nspname = '{USER}'"
    );
    assert_eq!(install.count(&tables), 0, "nothing was made there");
}

#[test]
fn two_sets_of_tables_are_an_error_until_one_is_named() {
    let (install, uid) = installed();
    let url = install.postgres().expect("PostgreSQL").url();
    sql(&install, &format!("CREATE SCHEMA {USER}"));
    install.set("engine", &format!("{url}?options=-csearch_path%%3D{USER}"));
    install.ok(&["initdb"]);
    assert!(install.uids(&[]).is_empty());
    install.set("engine", &url);
    for args in [&["ls"][..], &["cleanup", "--full"], &["initdb"], &["locks"]] {
        let error = install.fails(1, args);
        assert!(
            error.contains(&format!("schemas {USER} and public")) && error.contains("search_path"),
            "{error}"
        );
    }
    install.set("engine", &format!("{url}?options=-csearch_path%%3Dpublic"));
    assert_eq!(install.uids(&[]), [uid.as_str()]);
    install.ok(&["cleanup", "--full"]);
    install.ok(&["scrub", &uid]);
}

#[test]
fn tables_in_a_schema_without_rights_are_no_reason_for_new_ones() {
    let (install, uid) = installed();
    let server = install.postgres().expect("PostgreSQL").server().clone();
    // Only the administrator can change permissions on the schema `public`.
    let database = install.postgres().expect("PostgreSQL").url();
    let name = database.rsplit('/').next().expect("a name").to_owned();
    let mut admin = postgres::Config::new();
    admin.host("127.0.0.1").port(server.port()).user("admin").dbname(&name);
    let mut admin = admin.connect(postgres::NoTls).expect("connected");
    admin
        .batch_execute("ALTER SCHEMA public OWNER TO admin; REVOKE ALL ON SCHEMA public FROM PUBLIC")
        .expect("revoked");
    admin.batch_execute(&format!("CREATE SCHEMA {USER} AUTHORIZATION {USER}")).expect("made");
    let error = install.fails(100, &["initdb"]);
    assert!(error.contains("in the schema public") && error.contains("rights"), "{error}");
    admin.batch_execute("GRANT USAGE ON SCHEMA public TO PUBLIC").expect("given");
    assert_eq!(install.uids(&[]), [uid.as_str()]);
}

#[test]
fn migrate_db_finds_the_tables_of_its_target_along_the_path() {
    let Some(server) = Server::get("migrate_db_finds_the_tables_of_its_target_along_the_path") else {
        return;
    };
    let (install, uid) = installed();
    let target = Database::new(&server);
    target.client().batch_execute(&format!("CREATE SCHEMA {USER}")).expect("made");
    // A schema may have any name.
    target.client().batch_execute("CREATE SCHEMA \"odd Schema\"").expect("made");
    let path = "?options=-csearch_path%3D%22odd\\%20Schema%22";
    install.ok(&["migrate-db", &format!("{}{path}", target.url())]);
    let rows = target.rows("SELECT uid FROM \"odd Schema\".versions").expect("there");
    assert_eq!(rows, [[Some(uid)]]);
}

#[test]
fn tags_are_reported_in_the_order_in_which_they_were_added() {
    let (install, uid) = installed();
    install.ok(&["add-tag", &uid, "z_first"]);
    install.ok(&["add-tag", &uid, "a_second"]);
    let out = install.ok(&["-m", "ls", "-f", "tags"]);
    let last = out.lines().last().expect("a line");
    assert!(last.ends_with("z_first,a_second"), "{out}");
    let json = install.ok(&["--json", "ls"]);
    assert!(json.find("z_first").expect("there") < json.find("a_second").expect("there"), "{json}");
}

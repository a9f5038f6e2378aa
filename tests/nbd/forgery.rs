//! Versions whose rows somebody has changed are not served.

use super::client::*;
use super::protocol::{BLOCK, install};
use super::server::{Server, wait_for};
use crate::common::install::noise;

#[test]
fn a_client_is_refused_a_forged_version() {
    let (install, uid, _) = install();
    let data = noise(77, 3 * BLOCK);
    let other = install.backup(&[&install.image("other.img", &data), "other"]);
    let larger = install.backup(&[&install.image("larger.img", &data), "larger"]);
    let key = |uid: &str| format!("(SELECT id FROM versions WHERE uid = '{uid}')");
    install.change(&format!(
        "UPDATE block_map SET blob_id =
           (SELECT blob_id FROM block_map WHERE version_id = {} AND block_id = 1)
         WHERE version_id = {} AND block_id = 0",
        key(&other),
        key(&uid)
    ));
    install.change(&format!("UPDATE versions SET size_bytes = size_bytes - 1 WHERE uid = '{larger}'"));
    let server = Server::new(&install, &[]);
    for (uid, why) in [(&uid, "are not those that were sealed"), (&larger, "is not the one that was sealed")]
    {
        let mut client = Client::new(&server);
        let told = client.option(GO, &info(uid, &[]));
        assert_eq!(told[0].0, ERR_UNKNOWN, "{told:?}");
        let text = String::from_utf8_lossy(&told[0].1);
        assert!(text.contains(why), "{text}");
        wait_for(&install, why);
    }
    let mut client = Client::opened(&server, &other, false);
    assert!(client.read(0, data.len() as u32).expect("read") == data);
    client.leave();
}

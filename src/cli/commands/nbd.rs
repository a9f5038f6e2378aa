//! `nbd`.

use crate::cli::Context;
use crate::cli::args::NbdArgs;
use crate::cli::dates;
use crate::cli::exit::Outcome;
use crate::engine::copy_on_write::CopyNaming;
use crate::engine::image::{self, Options};
use crate::engine::{Access, Site, names};
use crate::monitor::{Monitor, Steadfast};
use crate::nbd::{self, Address, Admission, ClientCertificate, Listening, Users};
use crate::types::error::Result;
use crate::types::uid::VersionUid;
use serde_json::json;
use std::net::SocketAddr;

pub(super) fn run(context: &Context, args: &NbdArgs) -> Result<Outcome> {
    let (terminal, config) = (&context.terminal, &context.config);
    let address = match &args.socket {
        Some(path) => Address::Unix(path.clone()),
        None => {
            let port = dates::number("-p/--bind-port", &args.bind_port, u64::from(u16::MAX))?;
            Address::Tcp(args.bind_address.clone(), port as u16)
        }
    };
    let expire = args.copy_expire.as_deref().map(dates::expire).transpose()?.flatten();
    let copies = CopyNaming { name: args.copy_name.clone(), expire };
    let admission = Admission {
        users: if args.any_user { Users::All } else { Users::Own },
        insecure: args.insecure,
        certificates: args.tls_certs.clone(),
        client_certificate: if args.tls_verify {
            ClientCertificate::Required
        } else {
            ClientCertificate::NotAsked
        },
    };
    // After a signal has ended the server, data from clients is still stored, which needs blocks of the original
    // version. So this signal must not stop the engine.
    let steadfast = Steadfast(terminal);
    let mut site = Site::open(config, &steadfast, Access::Read)?;
    let only = match &args.version_uid {
        Some(text) => Some(names::find(&mut site, text)?.uid),
        None => None,
    };
    let overlays = (!args.read_only).then(|| config.nbd_cachedir.clone());
    image::serve(site, &Options { overlays }, |depot| {
        let uid = only.clone();
        let (only, copies, address) = (only.clone(), copies.clone(), address.clone());
        let options = nbd::Options { address: address.clone(), only, config, copies, admission };
        nbd::run(depot, options, terminal, |listening| {
            let place = match (&listening, &address) {
                (Listening::Tcp(at), _) => json!({"address": at.ip().to_string(), "port": at.port()}),
                (Listening::Unix, Address::Unix(path)) => json!({"socket": path}),
                (Listening::Unix, Address::Tcp(..)) => json!({}),
            };
            terminal.info(&announcement(&listening, &address, uid.as_ref(), args.tls_certs.is_some()));
            if !args.read_only {
                terminal.info(&format!(
                    "Clients may write: their changes become versions called '{}'. Use --read-only to \
                     prevent that.",
                    args.copy_name
                ));
            }
            context.report(|| place)
        })
    })?;
    Ok(Outcome::Done)
}

/// Says where the server listens, with the commands by which clients list the versions and attach one.
fn announcement(
    listening: &Listening,
    address: &Address,
    uid: Option<&VersionUid>,
    encrypted: bool,
) -> String {
    let uid = uid.map_or("VERSION_UID", VersionUid::as_str);
    match (listening, address) {
        (Listening::Tcp(at), _) if encrypted => {
            let place = format!("nbds://{}:{}", reachable(at), at.port());
            format!(
                "Serving NBD on {at}. Ctrl-C ends it. Clients need TLS. List versions: \
                 `nbdinfo --list '{place}/?tls-certificates=DIR'`. Copy one: \
                 `nbdcopy '{place}/{uid}?tls-certificates=DIR' FILE`."
            )
        }
        (Listening::Tcp(at), _) => {
            let (host, port) = (reachable(at), at.port());
            format!(
                "Serving NBD on {at}. Ctrl-C ends it. List versions: `nbd-client -l {host} -p {port}`. Attach one: \
                 `nbd-client -N {uid} {host} -p {port} /dev/nbd0`."
            )
        }
        (Listening::Unix, Address::Unix(path)) => {
            let (path, scheme) = (path.display(), if encrypted { "nbds+unix" } else { "nbd+unix" });
            format!(
                "Serving NBD on {path}. Ctrl-C ends it. List versions: `nbdinfo --list '{scheme}:///?socket={path}'`. \
                 Attach one: `nbd-client -N {uid} -unix {path} /dev/nbd0`."
            )
        }
        (Listening::Unix, Address::Tcp(..)) => String::new(),
    }
}

/// An address that a client on this host can connect to.
fn reachable(at: &SocketAddr) -> String {
    match at.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        ip => ip.to_string(),
    }
}

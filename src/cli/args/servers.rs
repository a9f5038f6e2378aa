//! Arguments of the servers: `fuse` and `nbd`.

use crate::cli::help;
use crate::engine::copy_on_write;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Arguments of `fuse`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Example, the first partition of the newest backup:\n  \
    backy2 fuse /mnt/backups &\n  \
    losetup --find --show --partscan /mnt/backups/by_name/vm1/latest/data\n  \
    mount /dev/loop0p1 /mnt/vm1")]
pub(crate) struct FuseArgs {
    /// Do not allow writes, not even temporary ones
    #[arg(long)]
    pub read_only: bool,
    /// The folder to mount on; it must be empty
    #[arg(value_hint = ValueHint::DirPath)]
    pub mount: PathBuf,
}

/// Arguments of `nbd`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = help::NBD)]
pub(crate) struct NbdArgs {
    /// Listen on this address, or on the address of this host name
    #[arg(short = 'a', long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub bind_address: String,
    /// Listen on this port; 0 chooses a free one
    #[arg(short = 'p', long, value_name = "PORT", default_value = "10809")]
    pub bind_port: String,
    /// Listen on a unix socket instead
    #[arg(long, value_name = "PATH", conflicts_with_all = ["bind_address", "bind_port"], value_hint = ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// Do not allow writes
    #[arg(short, long)]
    pub read_only: bool,
    /// Name of the versions that are made of clients' changes
    #[arg(long, value_name = "NAME", default_value = copy_on_write::NAME, conflicts_with = "read_only",
          value_parser = NonEmptyStringValueParser::new())]
    pub copy_name: String,
    /// Expiry of those versions in UTC: YYYY-MM-DD, optionally followed by " HH:MM:SS" or "THH:MM:SS" [default: never]
    #[arg(long, value_name = "DATE", conflicts_with = "read_only")]
    pub copy_expire: Option<String>,
    /// Let all users of this host connect. Otherwise only root and the user who runs the server may connect
    #[arg(long)]
    pub any_user: bool,
    /// Use TLS, and refuse clients without TLS. DIR contains server-cert.pem and server-key.pem, as for QEMU
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub tls_certs: Option<PathBuf>,
    /// Accept only clients whose certificate is signed by ca-cert.pem in that folder and not revoked by ca-crl.pem
    #[arg(long, requires = "tls_certs")]
    pub tls_verify: bool,
    /// Listen without TLS even if other hosts can reach the address. Everybody who reaches it can read the versions
    #[arg(long, conflicts_with = "tls_certs")]
    pub insecure: bool,
    /// Serve only this version, including to clients that name no export
    pub version_uid: Option<String>,
}

//! Arguments of the commands that run until they are ended.

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
pub struct FuseArgs {
    /// Nothing can be written, not even temporarily
    #[arg(long)]
    pub read_only: bool,
    /// The folder to mount on; it must be empty
    #[arg(value_hint = ValueHint::DirPath)]
    pub mount: PathBuf,
}

/// Arguments of `nbd`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = help::NBD)]
pub struct NbdArgs {
    /// Listen on this address, or on that of this host
    #[arg(short = 'a', long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub bind_address: String,
    /// Listen on this port; 0 takes one that is free
    #[arg(short = 'p', long, value_name = "PORT", default_value = "10809")]
    pub bind_port: String,
    /// Listen on a unix socket instead
    #[arg(long, value_name = "PATH", conflicts_with_all = ["bind_address", "bind_port"], value_hint = ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// Nothing can be written
    #[arg(short, long)]
    pub read_only: bool,
    /// Name of the versions that clients' writes make
    #[arg(long, value_name = "NAME", default_value = copy_on_write::NAME, conflicts_with = "read_only",
          value_parser = NonEmptyStringValueParser::new())]
    pub copy_name: String,
    /// Their expiry in UTC: YYYY-MM-DD, or that with " HH:MM:SS" or "THH:MM:SS" [default: never]
    #[arg(long, value_name = "DATE", conflicts_with = "read_only")]
    pub copy_expire: Option<String>,
    /// Let all users of this host connect; without it only root and the user that runs the server may
    #[arg(long)]
    pub any_user: bool,
    /// Encrypt by TLS, and serve nobody without it. DIR has server-cert.pem and server-key.pem, as for QEMU
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub tls_certs: Option<PathBuf>,
    /// Only serve clients with a certificate of ca-cert.pem in that folder; one that ca-crl.pem revokes is refused
    #[arg(long, requires = "tls_certs")]
    pub tls_verify: bool,
    /// Listen without TLS also where other hosts reach the address: all who do can read
    #[arg(long, conflicts_with = "tls_certs")]
    pub insecure: bool,
    /// Serve only this version, also to clients that name no export
    pub version_uid: Option<String>,
}

//! Names the options and commands for the advice in an error.

use crate::types::remedy::Remedy;
use crate::types::text::quoted;

/// The advice as one sentence.
pub(super) fn sentence(remedy: &Remedy) -> String {
    match remedy {
        Remedy::NameExistingConfig => {
            "Name an existing file with -c, or leave -c out to read /etc/backy.cfg and the other places."
        }
        Remedy::WriteConfig => "Write one of them (see backy.cfg.example), or name a file with -c.",
        Remedy::LeaveFolder => "Change to another folder, or name a configuration with -c.",
        Remedy::MakeInstallation(folder) => {
            let folder = folder.to_string_lossy();
            return format!("`backy2 -b {} init` makes a new installation in an empty folder.", quoted(&folder));
        }
        Remedy::AllowEmptySource => "If the source is really empty, use --allow-empty.",
        Remedy::ServeReadOnly => "Or use --read-only.",
        Remedy::IgnoreAge => "-f ignores that.",
        Remedy::Alternate { removed, version } => {
            return format!(
                "Or alternate: {removed} blocks of version {version} are removed; run `backy2 cleanup \
                 --dangerous-force`, and then `backy2 rm {version}` again."
            );
        }
        Remedy::OverwriteTarget => "You must force the restore (--force) to overwrite it.",
        Remedy::OtherBase => "Give another base (-f), or none.",
        Remedy::LeaveSnapshotOut(snapshot) => {
            return format!("Leave @{snapshot} out, or back up that snapshot without --incremental.");
        }
        Remedy::SecureServer => {
            "Use certificates (--tls-certs), or listen on 127.0.0.1 and use a tunnel (ssh -L), or give --insecure if \
             everybody who can reach the address may read them."
        }
        Remedy::ListenElsewhere => "-a and -p choose another address and port.",
        Remedy::OtherSocket => "--socket needs an unused path.",
    }
    .to_owned()
}

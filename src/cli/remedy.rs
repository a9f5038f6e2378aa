//! Names the options and commands for the advice in an error.

use super::human;
use crate::types::reason::one_line;
use crate::types::remedy::{Continuation, Remedy};
use crate::types::text::quoted;

/// The line before the command that continues the work.
pub(crate) const WAY_ON: &str = "To go on:";

/// The text, followed by the advice.
pub(super) fn advised(text: &str, remedies: &[Remedy]) -> String {
    remedies.iter().fold(text.to_owned(), |text, remedy| one_line(&text, &[], &sentence(remedy)))
}

/// The words of the command that continues the work, without the program's name and configuration.
pub(super) fn words(how: &Continuation) -> Vec<String> {
    let text = str::to_owned;
    match how {
        Continuation::Backup { version, source, name } => {
            vec![text("backup"), text("-c"), version.to_string(), source.clone(), name.clone()]
        }
        Continuation::Restore { version, target, from, sparse, force } => {
            let flags = [(*sparse, "-s"), (*force, "-f")];
            let flags = flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| text(flag));
            let rest = [text("-c"), from.to_string(), version.to_string(), target.clone()];
            std::iter::once(text("restore")).chain(flags).chain(rest).collect()
        }
    }
}

/// The advice as a sentence or two.
fn sentence(remedy: &Remedy) -> String {
    match remedy {
        Remedy::NameExistingConfig => {
            "Name an existing file with -c, or leave -c out to read /etc/backy.cfg and the other places."
        }
        Remedy::WriteConfig => "Write one of them (see backy.cfg.example), or name a file with -c.",
        Remedy::LeaveFolder => "Change to another folder, or name a configuration with -c.",
        Remedy::RebuildDatabase => "If its database was lost, `backy2 rebuild` makes it anew from the data store.",
        Remedy::RebuildInstead => "Or move the database away: `backy2 rebuild` makes it anew from the data store.",
        Remedy::MakeInstallation(folder) => {
            let folder = folder.to_string_lossy();
            return format!("`backy2 -b {} init` makes a new installation in an empty folder.", quoted(&folder));
        }
        Remedy::AllowEmptySource => "If the source is really empty, use --allow-empty.",
        Remedy::ServeReadOnly => "Or use --read-only.",
        Remedy::DeleteMost => {
            "If these blobs are really of no use (see them with --dry-run), use --dangerous-force."
        }
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
        Remedy::AskForCertificates => "--tls-verify asks clients for certificates.",
        Remedy::AdmitAllUsers => "Use --any-user to let everybody in.",
        Remedy::Continue(how) => {
            let words = words(how);
            let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            return format!("Continue it with `backy2 {}`.", words.join(" "));
        }
        Remedy::RemoveIncomplete(version) => return format!("`backy2 rm -f {version}` removes it."),
        Remedy::StartAgain(version) => {
            return format!("Start again: its data is reused. Then run `backy2 rm -f {version}`.");
        }
        Remedy::DeleteUnknown(bytes) => {
            let taken = if *bytes > 0 { format!(" and frees {}", human::size(*bytes)) } else { String::new() };
            return format!(
                "Blobs that nothing names do no harm: `backy2 cleanup --full` deletes them{taken}. Look first whether \
                 the database is the right one."
            );
        }
        Remedy::CheckInstallation => "Now run `backy2 check`, which looks at the whole installation.",
        Remedy::WriteCopies => {
            "`backy2 check --write-metadata` writes all copies that are missing or not up to date."
        }
        Remedy::DeleteForeignCopies => {
            "If they are of no use, `backy2 cleanup --full --dangerous-force` deletes them, and all blobs that the \
             database does not know."
        }
        Remedy::DeleteUnfinished => "`backy2 cleanup --full` deletes those in the data store.",
        Remedy::ContinueVersion => {
            "`backy2 backup -c UID SOURCE NAME` continues an incomplete version, and `backy2 rm` removes it."
        }
    }
    .to_owned()
}

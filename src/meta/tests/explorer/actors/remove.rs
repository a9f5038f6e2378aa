//! `rm`.

use super::copies::Following;
use super::{Next, Shop, Stepped, failed};
use crate::meta::tests::explorer::ground::Content;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Start,
    Own,
    Remove,
    Follow(Following),
}

/// Removes a version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remove {
    version: &'static str,
    at: At,
    /// Whether it deletes the copy of the version.
    copying: bool,
}

impl Remove {
    pub fn of(version: &'static str) -> Self {
        Remove { version, at: At::Start, copying: false }
    }

    /// Deletes the copy of the version, too.
    pub fn copying(self) -> Self {
        Remove { copying: true, ..self }
    }

    /// Whether it waits for the lock on copies.
    pub fn waits(&self) -> bool {
        matches!(&self.at, At::Follow(following) if following.waits())
    }

    pub fn label(&self) -> String {
        format!("rm {}: {:?}", self.version, self.at)
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        match &mut self.at {
            At::Start => {
                self.at = At::Own;
                shop.start()
            }
            At::Own if !shop.own(self.version) => Ok(Next::End),
            At::Own => {
                self.at = At::Remove;
                Ok(Next::More)
            }
            At::Remove => {
                let Some(version) = shop.version(self.version)? else { return Ok(Next::End) };
                let (before, now) = (shop.ground.content(), shop.model().clock);
                let removed = shop.ground.meta().remove_version(&version, now);
                removed.map_err(|e| failed("rm", e))?;
                let after = shop.ground.content();
                if shop.strict {
                    listed_as_it_should_be(&before, &after, now)?;
                }
                self.at = At::Follow(Following::new());
                Ok(if self.copying { Next::More } else { Next::End })
            }
            At::Follow(following) => following.step(shop),
        }
    }
}

/// Checks rule 4: a blob is listed with the current time if it has lost its last row, and otherwise it is not.
fn listed_as_it_should_be(before: &Content, after: &Content, now: i64) -> Result<(), String> {
    for (_, uid) in before.stored().filter(|(_, uid)| before.names(uid)) {
        let newest =
            |content: &Content| content.entries.iter().filter(|e| e.uid == uid).map(|e| e.time).max();
        let (listed, named) = (newest(after), after.names(uid));
        if !named && listed != Some(now) {
            return Err(format!(
                "rule 4: {uid} was not listed as of now, when its last row went: {listed:?}"
            ));
        }
        if named && listed != newest(before) {
            return Err(format!("rule 4: {uid} was listed, and rows name it"));
        }
    }
    Ok(())
}

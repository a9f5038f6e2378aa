//! Listings, page by page, of a server that need not be honest.

use super::failure::{Failure, Kind};
use super::xml;

/// Pages without a key that may follow each other: removed objects of a bucket with versions make such pages.
const MOST_EMPTY: u32 = 1000;

/// A part of a listing.
pub(super) struct Page {
    pub keys: Vec<String>,
    /// Where the next one begins, if this is not the last.
    pub next: Option<String>,
}

/// Reads a page. `None`: it is none.
pub(super) fn parse_page(text: &str) -> Option<std::result::Result<Page, Failure>> {
    let list = xml::elements(text, "ListBucketResult").next()?;
    let objects = xml::elements(list, "Contents");
    // Uids have no characters that any encoding changes; other names do not matter.
    let keys = objects.filter_map(|object| xml::text(object, "Key")).collect();
    let truncated = xml::text(list, "IsTruncated").is_some_and(|text| text.trim() == "true");
    let next = xml::text(list, "NextContinuationToken").filter(|token| truncated && !token.is_empty());
    Some(match truncated && next.is_none() {
        // What is not listed would count as missing.
        true => {
            Err(Failure::new(Kind::Lasting, "the listing has more pages, and the server does not say where"))
        }
        false => Ok(Page { keys, next }),
    })
}

/// The way through a listing. S3 lists in the order of keys, so that each page goes on where the one before has ended: a
/// listing that goes in circles, or leaves parts out, is not believed.
#[derive(Default)]
pub(super) struct Course {
    token: Option<String>,
    last: Option<String>,
    empty: u32,
}

impl Course {
    /// Where the next page begins; `None` before the first and after the last one.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Notes a page.
    ///
    /// # Errors
    /// It does not follow the ones before.
    pub fn follow(&mut self, page: &Page) -> Result<(), Failure> {
        let astray = |text: &str| Err(Failure::new(Kind::Lasting, text));
        if page.next.is_some() && page.next == self.token {
            return astray("the server gives the same page again and again");
        }
        let least = page.keys.iter().min();
        if least.is_some_and(|least| self.last.as_ref().is_some_and(|last| least <= last)) {
            return astray(
                "the server's pages are not in the order of keys: names may be repeated or left out",
            );
        }
        self.empty = if page.keys.is_empty() { self.empty + 1 } else { 0 };
        if self.empty > MOST_EMPTY {
            return astray(
                "the server gives pages without names, without end. If the bucket keeps old versions of removed \
                 objects, let a rule of the bucket remove them",
            );
        }
        if let Some(most) = page.keys.iter().max() {
            self.last = Some(most.clone());
        }
        self.token.clone_from(&page.next);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

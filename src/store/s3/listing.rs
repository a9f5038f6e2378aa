//! Listings, page by page. The server is not trusted.

use super::failure::{Failure, FailureKind};
use super::xml;
use crate::types::time::Timestamp;

/// The most empty pages in a row. Removed objects in a bucket with versions cause such pages.
const MOST_EMPTY: u32 = 1000;

/// An object in a listing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub key: String,
    /// Its size in bytes, if the server tells it.
    pub bytes: Option<u64>,
    /// When it was stored, in seconds since 1970, if the server tells it.
    pub stored: Option<i64>,
}

impl Object {
    /// Reads the element `Contents`.
    fn parse(element: &str) -> Option<Self> {
        // Uids consist of characters that no encoding changes. Other names do not matter.
        let key = xml::text(element, "Key")?;
        let bytes = xml::text(element, "Size").and_then(|text| text.trim().parse().ok());
        let date = xml::text(element, "LastModified");
        let date = date.and_then(|text| Timestamp::parse(text.trim().trim_end_matches('Z')));
        Some(Object { key, bytes, stored: date.map(|date| date.unix()) })
    }
}

/// A page of a listing.
pub(super) struct Page {
    pub objects: Vec<Object>,
    /// The token of the next page, if this is not the last.
    pub next: Option<String>,
}

/// Parses a page. Returns `None` if the text is not one.
pub(super) fn parse_page(text: &str) -> Option<std::result::Result<Page, Failure>> {
    let list = xml::elements(text, "ListBucketResult").next()?;
    let objects = xml::elements(list, "Contents").filter_map(Object::parse).collect();
    let truncated = xml::text(list, "IsTruncated").is_some_and(|text| text.trim() == "true");
    let next = xml::text(list, "NextContinuationToken").filter(|token| truncated && !token.is_empty());
    Some(if truncated && next.is_none() {
        // A blob that is not listed would count as missing.
        Err(Failure::new(
            FailureKind::Lasting,
            "the listing has more pages, but the server does not say where they \
                                         begin",
        ))
    } else {
        Ok(Page { objects, next })
    })
}

/// The progress of a listing. S3 lists in the order of keys, so each page continues where the previous one ended. A
/// listing that repeats itself or leaves parts out is rejected.
#[derive(Default)]
pub(super) struct Course {
    token: Option<String>,
    last: Option<String>,
    empty: u32,
}

impl Course {
    /// The token of the next page. `None` before the first page and after the last.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Records a page.
    ///
    /// # Errors
    /// The page does not follow the previous ones.
    pub(super) fn follow(&mut self, page: &Page) -> Result<(), Failure> {
        let astray = |text: &str| Err(Failure::new(FailureKind::Lasting, text));
        if page.next.is_some() && page.next == self.token {
            return astray("the server returns the same page again and again");
        }
        let keys = page.objects.iter().map(|object| &object.key);
        let least = keys.clone().min();
        if least.is_some_and(|least| self.last.as_ref().is_some_and(|last| least <= last)) {
            return astray(
                "the server's pages are not in the order of keys: names may be repeated or left out",
            );
        }
        self.empty = if page.objects.is_empty() { self.empty + 1 } else { 0 };
        if self.empty > MOST_EMPTY {
            return astray(
                "the server returns pages without names, without end. If the bucket keeps old versions of \
                 removed objects, add a lifecycle rule that removes them",
            );
        }
        if let Some(most) = keys.max() {
            self.last = Some(most.clone());
        }
        self.token.clone_from(&page.next);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

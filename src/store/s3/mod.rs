//! Blobs as objects in a bucket of any server that speaks S3: the key of an object is the blob's uid.
//!
//! What fails in passing is repeated (`retry`); `failure` knows what that is. A `PUT` that has succeeded is durable.
//! Each carries the MD5 digest of its body, which every server compares, so that what was damaged on its way is not
//! stored; what comes back is verified by whoever reads it.

mod client;
mod delete;
mod failure;
mod retry;
mod xml;

use super::{BlobStore, GetError, Wanted};
use crate::config::S3Config;
use crate::failpoint;
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};
use crate::types::time::check_clock;
use crate::types::uid::BlobUid;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use client::Client;
use failure::{Failure, Kind};
use md5::{Digest, Md5};
use retry::Patience;
use rusty_s3::S3Action;
use rusty_s3::actions::{GetObject, ListObjectsV2, PutObject};
use std::sync::atomic::AtomicBool;

/// A bucket.
pub struct S3Store<'a> {
    client: Client,
    patience: Patience<'a>,
    encoding_type: bool,
    /// Whether the server knows how to delete many objects at once, as far as we know.
    bulk: AtomicBool,
}

/// A part of a listing.
struct Page {
    keys: Vec<String>,
    /// Where the next one begins, if this is not the last.
    next: Option<String>,
}

impl<'a> S3Store<'a> {
    /// The bucket of that configuration. `connections` is how many threads will use it at the same time; a signal
    /// that `monitor` knows of ends every wait.
    ///
    /// # Errors
    /// [`Error::Config`]: the credentials are missing.
    pub fn new(config: &S3Config, connections: usize, monitor: &'a dyn Monitor) -> Result<Self> {
        check_clock()?;
        Ok(S3Store {
            client: Client::new(config, connections)?,
            patience: Patience::new(config.timeout, config.retry_time, monitor),
            encoding_type: config.encoding_type,
            bulk: AtomicBool::new(true),
        })
    }

    fn error(&self, failure: Failure, what: &str) -> Error {
        match failure.kind {
            Kind::Interrupted(signal) => Error::Interrupted(signal),
            _ => Error::Store { store: self.location(), message: format!("{what}: {}", failure.text) },
        }
    }

    /// A page of the listing of what begins with `prefix`: the first, or the one of that token.
    fn page(&self, prefix: &str, token: Option<&str>, most: Option<usize>) -> Result<Page> {
        let client = &self.client;
        let page = self.patience.run("list the bucket", |limit| {
            let mut action = ListObjectsV2::new(client.bucket(), client.credentials());
            if !prefix.is_empty() {
                action.with_prefix(prefix);
            }
            if let Some(token) = token {
                action.with_continuation_token(token);
            }
            if let Some(most) = most {
                action.with_max_keys(most);
            }
            if !self.encoding_type {
                action.query_mut().remove("encoding-type");
            }
            let mut response = client.send(&action, &[], (), limit)?;
            let status = response.status().as_u16();
            let text = client.text(&mut response)?;
            parse_page(&text).unwrap_or_else(|| Err(Failure::of_answer(status, &text, client.names())))
        });
        page.map_err(|failure| self.error(failure, "cannot list the bucket"))
    }
}

/// Reads a page. `None`: it is none.
fn parse_page(text: &str) -> Option<std::result::Result<Page, Failure>> {
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

impl BlobStore for S3Store<'_> {
    fn location(&self) -> String {
        self.client.bucket().base_url().as_str().trim_end_matches('/').to_owned()
    }

    fn put(&self, uid: &str, data: &[u8]) -> Result<()> {
        let what = || format!("cannot write blob {uid}");
        if !BlobUid::is_plain(uid) {
            return Err(self.error(Failure::new(Kind::Lasting, "this is no name of a blob"), &what()));
        }
        let md5 = BASE64_STANDARD.encode(Md5::digest(data));
        let client = &self.client;
        let put = self.patience.run(&format!("write blob {uid}"), |limit| {
            let mut action = PutObject::new(client.bucket(), client.credentials(), uid);
            action.headers_mut().insert("content-md5", &md5[..]);
            let headers = [("content-md5", &md5[..]), ("content-type", "application/octet-stream")];
            // To its end, so that the connection can be used again.
            client.send(&action, &headers, data, limit).and_then(|mut r| client.text(&mut r).map(drop))
        });
        put.map_err(|failure| self.error(failure, &what()))?;
        failpoint::pass("blob-after-put");
        Ok(())
    }

    fn get(&self, wanted: Wanted<'_>, data: &mut Vec<u8>) -> std::result::Result<bool, GetError> {
        data.clear();
        let uid = wanted.uid;
        if !BlobUid::is_plain(uid) {
            return Err(GetError::Unreadable(format!("{uid:?} is no name of a blob")));
        }
        // More than the largest possible blob of such a block is damage; do not fill the memory with it.
        let most = wanted.size.saturating_add(wanted.size / 128).saturating_add(1 << 16);
        let client = &self.client;
        let got = self.patience.run(&format!("read blob {uid}"), |limit| {
            let action = GetObject::new(client.bucket(), client.credentials(), uid);
            let mut response = client.send(&action, &[], (), limit)?;
            client.read(&mut response, most, data)
        });
        match got {
            Ok(()) => Ok(true),
            Err(failure) if failure.kind == Kind::Missing => Ok(false),
            // The server fails with this one, again and again, and not with others.
            Err(failure) if failure.status == Some(500) && self.check().is_ok() => {
                Err(GetError::Unreadable(failure.text))
            }
            Err(failure) => Err(GetError::Store(self.error(failure, &format!("cannot read blob {uid}")))),
        }
    }

    fn delete(&self, uids: &[String]) -> Vec<(String, Error)> {
        // No blob can have a name that is none: it is missing.
        let plain: Vec<&str> = uids.iter().map(String::as_str).filter(|uid| BlobUid::is_plain(uid)).collect();
        let failed = self.delete_all(&plain).into_iter();
        failed
            .map(|(uid, failure)| {
                let error = self.error(failure, &format!("cannot delete blob {uid}"));
                (uid, error)
            })
            .collect()
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let mut token: Option<String> = None;
        loop {
            let page = self.page(prefix, token.as_deref(), None)?;
            let uids = page.keys.iter().filter(|key| key.starts_with(prefix) && BlobUid::is_one(key));
            uids.into_iter().try_for_each(|uid| each(uid))?;
            match page.next {
                None => return Ok(()),
                next if next == token => {
                    let failure =
                        Failure::new(Kind::Lasting, "the server gives the same page again and again");
                    return Err(self.error(failure, "cannot list the bucket"));
                }
                next => token = next,
            }
        }
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.page("", None, Some(1)).map(drop)
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;

//! Blobs as objects in a bucket of any S3 server. The key of an object is the blob's uid.
//!
//! Temporary failures are repeated (`retry`), and `failure` recognizes them. A successful `PUT` is durable. Each
//! request with a body carries its MD5 digest, and every server compares that, so data damaged on the way is not
//! stored. Readers verify the data that comes back. A header of each request holds its signature (`sign`), and every
//! wait has a limit (`wire`).

mod bucket;
mod client;
mod delete;
mod failure;
mod listing;
mod objects;
mod pace;
mod retry;
mod sign;
mod waiter;
mod wire;
mod xml;

use super::{BlobStore, Found, GetError, Wanted};
use crate::config::S3Config;
use crate::failpoint;
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};
use crate::types::time::{Timestamp, check_clock};
use crate::types::uid::BlobUid;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use client::{Client, Request};
use failure::{Failure, FailureKind};
use listing::{Course, Object, Page, parse_page};
use md5::{Digest, Md5};
use retry::Patience;
use std::sync::atomic::AtomicBool;

/// A bucket.
pub(crate) struct S3Store<'a> {
    client: Client,
    patience: Patience<'a>,
    encoding_type: bool,
    /// Whether the server seems to support deleting many objects at once.
    bulk: AtomicBool,
}

impl<'a> S3Store<'a> {
    /// The configured bucket. `connections` is the number of threads that will use it at the same time. A signal that
    /// `monitor` reports ends every wait.
    ///
    /// # Errors
    /// [`Error::Config`] if the credentials are missing.
    pub(crate) fn new(config: &S3Config, connections: usize, monitor: &'a dyn Monitor) -> Result<Self> {
        check_clock()?;
        Ok(S3Store {
            client: Client::new(config, connections, monitor.handle())?,
            patience: Patience::new(config.timeout, config.retry_time, monitor),
            encoding_type: config.encoding_type,
            bulk: AtomicBool::new(true),
        })
    }

    fn error(&self, failure: Failure, what: &str) -> Error {
        match failure.kind {
            FailureKind::Interrupted(signal) => Error::Interrupted(signal),
            _ => Error::Store { store: self.location(), reason: failure.reason.during(what) },
        }
    }

    /// One page of the list of keys that begin with `prefix`: the page at `token`, or the first one, which begins behind
    /// the key `after`.
    fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        token: Option<&str>,
        most: Option<usize>,
    ) -> Result<Page> {
        let client = &self.client;
        let most = most.map(|most| most.to_string());
        let parameters = [
            Some(("list-type", "2")),
            self.encoding_type.then_some(("encoding-type", "url")),
            Some(("prefix", prefix)).filter(|_| !prefix.is_empty()),
            token.map(|token| ("continuation-token", token)),
            after.filter(|_| token.is_none()).map(|after| ("start-after", after)),
            most.as_deref().map(|most| ("max-keys", most)),
        ];
        let parameters: Vec<_> = parameters.into_iter().flatten().collect();
        let page = self.patience.run("list the bucket", |limit| {
            let request = Request::new("GET", "", &parameters);
            let mut response = client.send(&request, limit)?;
            let status = response.status().as_u16();
            let text = client.text(&mut response, limit)?;
            parse_page(&text).unwrap_or_else(|| Err(Failure::of_answer(status, &text, client.names())))
        });
        page.map_err(|failure| self.error(failure, "cannot list the bucket"))
    }
}

impl S3Store<'_> {
    /// Calls `each` with every blob whose key begins with `prefix`.
    fn objects(&self, prefix: &str, each: &mut dyn FnMut(&Object) -> Result<()>) -> Result<()> {
        let mut course = Course::default();
        loop {
            let page = self.page(prefix, None, course.token(), None)?;
            course.follow(&page).map_err(|failure| self.error(failure, "cannot list the bucket"))?;
            let is_blob = |object: &&Object| object.key.starts_with(prefix) && BlobUid::is_one(&object.key);
            page.objects.iter().filter(is_blob).try_for_each(&mut *each)?;
            if course.token().is_none() {
                return Ok(());
            }
        }
    }
}

/// The value of `Content-MD5`.
fn md5(data: &[u8]) -> String {
    BASE64_STANDARD.encode(Md5::digest(data))
}

impl BlobStore for S3Store<'_> {
    fn location(&self) -> String {
        self.client.location().to_owned()
    }

    fn put(&self, uid: &BlobUid, data: &[u8]) -> Result<()> {
        let uid = uid.as_str();
        let what = || format!("cannot write blob {uid}");
        if !BlobUid::is_plain(uid) {
            return Err(
                self.error(Failure::new(FailureKind::Lasting, "this is not the name of a blob"), &what())
            );
        }
        let md5 = md5(data);
        let headers = [("content-md5", &md5[..]), ("content-type", "application/octet-stream")];
        let request = Request::new("PUT", uid, &[]).with_body(data, &headers);
        let client = &self.client;
        let put = self.patience.run(&format!("write blob {uid}"), |limit| {
            // Reads the answer to its end, so that the connection can be used again.
            client.send(&request, limit).and_then(|mut r| client.text(&mut r, limit).map(drop))
        });
        put.map_err(|failure| self.error(failure, &what()))?;
        failpoint::pass("blob-after-put");
        Ok(())
    }

    fn get(&self, wanted: Wanted<'_>, data: &mut Vec<u8>) -> std::result::Result<bool, GetError> {
        data.clear();
        let uid = wanted.uid.as_str();
        if !BlobUid::is_plain(uid) {
            return Err(GetError::Unreadable(format!("{uid:?} is not the name of a blob")));
        }
        // A body that is longer than the largest possible blob of this block is damaged. It must not fill the memory.
        let most = wanted.size.saturating_add(wanted.size / 128).saturating_add(1 << 16);
        let client = &self.client;
        let request = Request::new("GET", uid, &[]).expecting(most);
        let got = self.patience.run(&format!("read blob {uid}"), |limit| {
            let mut response = client.send(&request, limit)?;
            client.read(&mut response, most, data, limit)
        });
        match got {
            Ok(()) => Ok(true),
            Err(failure) if failure.kind == FailureKind::Missing => Ok(false),
            // The server fails repeatedly for this blob, but works otherwise.
            Err(failure) if failure.status == Some(500) && self.check().is_ok() => {
                Err(GetError::Unreadable(failure.reason.line()))
            }
            Err(failure) => Err(GetError::Store(self.error(failure, &format!("cannot read blob {uid}")))),
        }
    }

    fn delete(&self, uids: &[BlobUid]) -> Vec<(BlobUid, Error)> {
        // A name that is not valid cannot have a blob, so the blob counts as missing.
        let plain: Vec<&BlobUid> = uids.iter().filter(|uid| BlobUid::is_plain(uid.as_str())).collect();
        let failed = self.delete_all(&plain).into_iter();
        failed
            .map(|(uid, failure)| {
                let error = self.error(failure, &format!("cannot delete blob {uid}"));
                (uid, error)
            })
            .collect()
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(&BlobUid) -> Result<()>) -> Result<()> {
        self.objects(prefix, &mut |object| each(&BlobUid::from(&object.key[..])))
    }

    fn survey(&self, prefix: &str, each: &mut dyn FnMut(Found<'_>) -> Result<()>) -> Result<()> {
        self.objects(prefix, &mut |object| {
            let Object { key, bytes, stored } = object;
            each(Found::Blob { uid: &BlobUid::from(&key[..]), bytes: *bytes, stored: *stored })
        })
    }

    fn clock(&self) -> Result<Option<Timestamp>> {
        let client = &self.client;
        let asked = self.patience.run("ask for the time", |limit| {
            let request = Request::new("GET", "", &[("list-type", "2"), ("max-keys", "1")]);
            let mut response = client.send(&request, limit)?;
            let clock = client::clock_of(&response);
            client.text(&mut response, limit).map(|_| clock)
        });
        let clock = asked.map_err(|failure| self.error(failure, "cannot ask for the time"))?;
        Ok(clock.map(Timestamp::from_system))
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.page("", None, None, Some(1)).map(drop)
    }
}

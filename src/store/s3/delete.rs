//! Deletes objects, many at once if the server supports it.

use super::client::Request;
use super::failure::{Failure, FailureKind};
use super::{S3Store, md5, xml};
use crate::types::uid::BlobUid;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Names in one request. S3 accepts no more.
const MOST_AT_ONCE: usize = 1000;

impl S3Store<'_> {
    /// Deletes the objects with these names. Returns those that could not be deleted, with the reason.
    pub(super) fn delete_all(&self, uids: &[&BlobUid]) -> Vec<(BlobUid, Failure)> {
        let mut failed = Vec::new();
        for batch in uids.chunks(MOST_AT_ONCE) {
            let left = if self.bulk.load(Ordering::Relaxed) {
                self.delete_many(batch, &mut failed)
            } else {
                batch.to_vec()
            };
            self.delete_each(&left, &mut failed);
        }
        failed
    }

    /// Deletes objects in one request, and repeats it where this helps. Returns those to delete one by one, because the
    /// server does not know this request.
    fn delete_many<'u>(
        &self,
        uids: &[&'u BlobUid],
        failed: &mut Vec<(BlobUid, Failure)>,
    ) -> Vec<&'u BlobUid> {
        let mut left = uids.to_vec();
        let result = self.patience.run("delete blobs", |limit| {
            let refused = self.delete_once(&left, limit)?;
            let mut first = None;
            left.retain(|uid| match refused.get(*uid) {
                None => false,
                Some(failure) if failure.kind == FailureKind::Busy => {
                    first.get_or_insert_with(|| failure.clone());
                    true
                }
                Some(failure) => {
                    if failure.kind != FailureKind::Missing {
                        failed.push(((*uid).clone(), failure.clone()));
                    }
                    false
                }
            });
            first.map_or(Ok(()), Err)
        });
        match result {
            Ok(()) => Vec::new(),
            Err(failure) if failure.kind == FailureKind::Unknown => {
                self.bulk.store(false, Ordering::Relaxed);
                left
            }
            Err(failure) => {
                failed.extend(left.iter().map(|uid| ((*uid).clone(), failure.clone())));
                Vec::new()
            }
        }
    }

    /// Sends one request. Returns the objects that were not deleted, with the reason.
    fn delete_once(&self, uids: &[&BlobUid], limit: Duration) -> Result<BTreeMap<BlobUid, Failure>, Failure> {
        let client = &self.client;
        // Uids need no escaping.
        let objects: Vec<String> =
            uids.iter().map(|uid| format!("<Object><Key>{uid}</Key></Object>")).collect();
        let body = format!("<Delete>{}<Quiet>true</Quiet></Delete>", objects.concat());
        let md5 = md5(body.as_bytes());
        let headers = [("content-md5", &md5[..]), ("content-type", "application/xml")];
        let request = Request::new("POST", "", &[("delete", "")]).with_body(body.as_bytes(), &headers);
        let mut response = client.send(&request, limit)?;
        let status = response.status().as_u16();
        let text = client.text(&mut response, limit)?;
        if !text.contains("DeleteResult") {
            // Some errors come with a success status.
            return Err(Failure::of_answer(status, &text, client.names()));
        }
        let mut refused = BTreeMap::new();
        for error in xml::elements(&text, "Error") {
            let part = |name| xml::text(error, name).unwrap_or_default();
            let failure = Failure::of_object(&part("Code"), &part("Message"), client.names());
            match BlobUid::from(part("Key")) {
                key if uids.contains(&&key) => refused.insert(key, failure),
                _ => return Err(failure),
            };
        }
        Ok(refused)
    }

    /// Deletes objects one by one. If the server fails, the rest is not tried.
    fn delete_each(&self, uids: &[&BlobUid], failed: &mut Vec<(BlobUid, Failure)>) {
        for (at, uid) in uids.iter().enumerate() {
            let result = self.patience.run("delete a blob", |limit| {
                self.client.send(&Request::new("DELETE", uid.as_str(), &[]), limit).map(drop)
            });
            match result {
                Ok(()) => {}
                Err(failure) if failure.kind == FailureKind::Missing => {}
                Err(failure) if failure.kind == FailureKind::Lasting => {
                    failed.push(((*uid).clone(), failure))
                }
                Err(failure) => {
                    failed.extend(uids[at..].iter().map(|uid| ((*uid).clone(), failure.clone())));
                    return;
                }
            }
        }
    }
}

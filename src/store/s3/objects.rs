//! Objects beside the blobs. The key is the name: `backy2.store`, `index/…`, `versions/…`.

use super::client::Request;
use super::failure::FailureKind;
use super::listing::Course;
use super::{S3Store, md5};
use crate::store::{BlobStore, GetError, Objects};
use crate::types::error::Result;
use crate::types::object::{ObjectFolder, ObjectName};
use percent_encoding::percent_decode_str;

impl Objects for S3Store<'_> {
    fn keeps_objects(&self) -> bool {
        true
    }

    fn put_object(&self, name: &ObjectName, data: &[u8]) -> Result<()> {
        let (key, md5, client) = (name.to_string(), md5(data), &self.client);
        let headers = [("content-md5", &md5[..]), ("content-type", "application/octet-stream")];
        let request = Request::new("PUT", &key, &[]).with_body(data, &headers);
        let put = self.patience.run(&format!("write {key}"), |limit| {
            client.send(&request, limit).and_then(|mut r| client.text(&mut r, limit).map(drop))
        });
        put.map_err(|failure| self.error(failure, &format!("cannot write {key}")))
    }

    fn get_object(&self, name: &ObjectName, most: u64) -> std::result::Result<Option<Vec<u8>>, GetError> {
        let (key, client, mut data) = (name.to_string(), &self.client, Vec::new());
        // One byte more shows that the object is too large.
        let limit_of_bytes = most.saturating_add(1);
        let request = Request::new("GET", &key, &[]).expecting(limit_of_bytes);
        let got = self.patience.run(&format!("read {key}"), |limit| {
            let mut response = client.send(&request, limit)?;
            client.read(&mut response, limit_of_bytes, &mut data, limit)
        });
        match got {
            Ok(()) if data.len() as u64 > most => {
                Err(GetError::Unreadable(format!("cannot be read: it has more than {most} bytes")))
            }
            Ok(()) => Ok(Some(data)),
            Err(failure) if failure.kind == FailureKind::Missing => Ok(None),
            // The server fails repeatedly for this object, but works otherwise.
            Err(failure) if failure.status == Some(500) && self.check().is_ok() => {
                Err(GetError::Unreadable(format!("cannot be read: {}", failure.reason.line())))
            }
            Err(failure) => Err(GetError::Store(self.error(failure, &format!("cannot read {key}")))),
        }
    }

    fn delete_object(&self, name: &ObjectName) -> Result<()> {
        let key = name.to_string();
        let deleted = self.patience.run(&format!("delete {key}"), |limit| {
            self.client.send(&Request::new("DELETE", &key, &[]), limit).map(drop)
        });
        match deleted {
            Err(failure) if failure.kind != FailureKind::Missing => {
                Err(self.error(failure, &format!("cannot delete {key}")))
            }
            _ => Ok(()),
        }
    }

    fn list_objects(
        &self,
        folder: ObjectFolder,
        after: Option<&ObjectName>,
        each: &mut dyn FnMut(&ObjectName) -> Result<()>,
    ) -> Result<()> {
        let prefix = format!("{}/", folder.text());
        let start = after.map(ToString::to_string);
        let mut course = Course::default();
        loop {
            let page = self.page(&prefix, start.as_deref(), course.token(), None)?;
            course.follow(&page).map_err(|failure| self.error(failure, "cannot list the bucket"))?;
            // Servers that encode keys may encode the slash.
            let keys = page.objects.iter().map(|object| percent_decode_str(&object.key).decode_utf8_lossy());
            let mut objects: Vec<ObjectName> =
                keys.filter_map(|key| folder.object(key.strip_prefix(&prefix)?)).collect();
            // Not every server knows where to start.
            objects.retain(|object| after.is_none_or(|after| object > after));
            objects.sort();
            objects.iter().try_for_each(&mut *each)?;
            if course.token().is_none() {
                return Ok(());
            }
        }
    }
}

//! The part of a URL after `rbd://`.

use std::fmt;

/// An image, and optionally one of its snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// The name of its pool.
    pub pool: String,
    /// The namespace in the pool. Empty for images without one.
    pub namespace: String,
    /// The name of the image.
    pub image: String,
    /// The name of the snapshot.
    pub snapshot: Option<String>,
}

impl Spec {
    /// Parses `POOL/IMAGE` or `POOL/NAMESPACE/IMAGE`, both optionally with `@SNAPSHOT`, as Ceph's own commands do.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Spec, String> {
        let help =
            "Give rbd://POOL/IMAGE or rbd://POOL/NAMESPACE/IMAGE, for a snapshot followed by @SNAPSHOT.";
        let (path, snapshot) = match text.split_once('@') {
            Some((path, snapshot)) => (path, Some(snapshot)),
            None => (text, None),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (pool, namespace, image) = match parts[..] {
            [pool, image] => (pool, "", image),
            [pool, namespace, image] if !namespace.is_empty() => (pool, namespace, image),
            _ => return Err(format!("Invalid URL: it names no image. {help}")),
        };
        if pool.is_empty() || image.is_empty() {
            return Err(format!(
                "Invalid URL: it names no {}. {help}",
                if pool.is_empty() { "pool" } else { "image" }
            ));
        }
        if snapshot.is_some_and(|name| name.is_empty() || name.contains(['@', '/'])) {
            return Err(format!("Invalid URL: the text after the @ is not the name of a snapshot. {help}"));
        }
        if text.contains('\0') {
            return Err(format!("Invalid URL: a name contains a NUL. {help}"));
        }
        Ok(Spec {
            pool: pool.to_owned(),
            namespace: namespace.to_owned(),
            image: image.to_owned(),
            snapshot: snapshot.map(str::to_owned),
        })
    }

    /// The same image at another snapshot.
    pub(crate) fn at(&self, snapshot: &str) -> Spec {
        Spec { snapshot: Some(snapshot.to_owned()), ..self.clone() }
    }
}

impl fmt::Display for Spec {
    /// Writes it as a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rbd://{}/", self.pool)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.image)?;
        self.snapshot.as_ref().map_or(Ok(()), |snapshot| write!(f, "@{snapshot}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_a_pool_and_perhaps_a_namespace_and_a_snapshot() {
        for (text, pool, namespace, image, snapshot) in [
            ("p/i", "p", "", "i", None),
            ("p/n/i", "p", "n", "i", None),
            ("p/i@s", "p", "", "i", Some("s")),
            ("p p/n/i ?#%20@a b:c", "p p", "n", "i ?#%20", Some("a b:c")),
        ] {
            let spec = Spec::parse(text).expect(text);
            assert_eq!((&*spec.pool, &*spec.namespace, &*spec.image), (pool, namespace, image));
            assert_eq!(spec.snapshot.as_deref(), snapshot);
            assert_eq!(spec.to_string(), format!("rbd://{text}"));
        }
        assert_eq!(Spec::parse("p/n/i").expect("good").at("x").to_string(), "rbd://p/n/i@x");
    }

    #[test]
    fn unclear_names_are_refused() {
        for (text, word) in [
            ("", "no image"),
            ("p", "no image"),
            ("p/", "no image"),
            ("/i", "no pool"),
            ("p//i", "no image"),
            ("p/n/", "no image"),
            ("p/n/i/x", "no image"),
            ("p/i@", "snapshot"),
            ("p/i@s@t", "snapshot"),
            ("p/i@s/t", "snapshot"),
            ("p/i\0", "NUL"),
        ] {
            let error = Spec::parse(text).expect_err(text);
            assert!(error.contains(word) && error.contains("rbd://POOL/IMAGE"), "{text}: {error}");
        }
    }
}

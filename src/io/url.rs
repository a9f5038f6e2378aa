//! Names of sources and targets: `file://PATH`, `null://SIZE`, `rbd://POOL/IMAGE`, or just a path.

use super::rbd::Spec;
use std::path::PathBuf;

/// The place of a source or target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A file or block device: `file://PATH`, or a path that starts with `/`, `./` or `../`. Paths are taken literally
    /// and not percent-decoded.
    File(PathBuf),
    /// `null://SIZE`: generated data of that many bytes, or a target that discards data. `null://` has no size, and is
    /// a target only.
    Null(Option<u64>),
    /// An image in Ceph: `rbd://POOL/IMAGE` or `rbd://POOL/NAMESPACE/IMAGE`, both optionally with `@SNAPSHOT`.
    Rbd(Spec),
}

/// The known kinds, for messages.
const KNOWN: &str = "Known are file://PATH (such as file:///dev/vg/vm1, for which /dev/vg/vm1 will do), \
                     null://SIZE (such as null://10G) and rbd://POOL/IMAGE@SNAPSHOT";

/// The largest size: offsets in files are signed 64-bit numbers.
const MAX: u128 = i64::MAX as u128;

impl Location {
    /// Parses a URL or path as the user gave it. Schemes may be in upper or lower case.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without the URL.
    pub(crate) fn parse(url: &str) -> Result<Location, String> {
        if ["/", "./", "../"].iter().any(|start| url.starts_with(start)) {
            return Ok(Location::File(PathBuf::from(url)));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            let example = if url.is_empty() { "disk.img" } else { url };
            return Err(format!(
                "Invalid URL. You must provide the type (e.g. file://{example}), or a path that starts with /, ./ \
                 or ../ (e.g. ./{example}). {KNOWN}."
            ));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => file(rest),
            "null" if rest.is_empty() => Ok(Location::Null(None)),
            "null" => size(rest).map(|size| Location::Null(Some(size))),
            "rbd" => Spec::parse(rest).map(Location::Rbd),
            _ => Err(format!("Invalid URL: the type {scheme}:// is unknown. {KNOWN}.")),
        }
    }
}

fn file(path: &str) -> Result<Location, String> {
    if path.is_empty() {
        return Err(
            "Invalid URL: there is no path. Examples: file:///dev/vg/vm1, file://disk.img.".to_owned()
        );
    }
    // In other URLs these start a query and a fragment, and release 2.13 refuses them. The user's intention is not
    // clear, so require a plain path.
    if path.contains(['?', '#']) {
        let bare = if path.starts_with('/') { path.to_owned() } else { format!("./{path}") };
        return Err(format!(
            "Invalid URL: it holds a ? or #. If that belongs to the file's name, give the path without file://: \
             '{bare}'."
        ));
    }
    Ok(Location::File(PathBuf::from(path)))
}

/// Parses a size: a number, optionally with a fraction, with k, M, G, T or P (powers of 1024, upper or lower case), and
/// with B.
fn size(text: &str) -> Result<u64, String> {
    let parsed = parse_size(text).ok_or_else(|| {
        format!(
            "Invalid URL: '{text}' is no size. A size is a number with k, M, G, T or P (powers of 1024), as in \
             null://10G."
        )
    })?;
    u64::try_from(parsed)
        .ok()
        .filter(|_| parsed <= MAX)
        .ok_or_else(|| format!("Invalid URL: the size {text} is more than an image can have ({MAX} bytes)."))
}

/// The number of bytes, saturated. `None` if the text is not a size.
fn parse_size(text: &str) -> Option<u128> {
    let number = text.strip_suffix(['b', 'B']).unwrap_or(text);
    let power = number.chars().next_back().and_then(|c| "kmgtp".find(c.to_ascii_lowercase()));
    let number = if power.is_some() { &number[..number.len() - 1] } else { number };
    let unit = 1024_u128.pow(power.map_or(0, |power| power as u32 + 1));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.parse().unwrap_or(u128::MAX).saturating_mul(unit);
    // A petabyte has 16 digits, so further ones amount to less than a byte.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = fraction.parse::<u128>().ok()? * unit / 10_u128.pow(fraction.len() as u32);
    Some(whole.saturating_add(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Result<Location, String> {
        Ok(Location::File(PathBuf::from(path)))
    }

    #[test]
    fn files_are_urls_or_paths_taken_as_they_stand() {
        assert_eq!(Location::parse("file:///dev/vg/x"), file("/dev/vg/x"));
        assert_eq!(Location::parse("file://rel/x"), file("rel/x"));
        assert_eq!(Location::parse("FILE://a%20b"), file("a%20b"));
        for path in ["/a", "./a", "../a", "/a?b#c", "/", "./file://x", "/a b"] {
            assert_eq!(Location::parse(path), file(path));
        }
    }

    #[test]
    fn null_has_a_size_in_powers_of_1024() {
        let size = |text: &str| Location::parse(&format!("null://{text}"));
        let bytes = |bytes: u64| Ok(Location::Null(Some(bytes)));
        assert_eq!(size(""), Ok(Location::Null(None)));
        for (text, value) in
            [("0", 0), ("7", 7), ("7B", 7), ("10k", 10 << 10), ("10KB", 10 << 10), ("1m", 1 << 20)]
        {
            assert_eq!(size(text), bytes(value), "{text}");
        }
        for (text, value) in
            [("3Gb", 3 << 30), ("2T", 2 << 40), ("5p", 5 << 50), ("1.5G", 3 << 29), ("0.1k", 102)]
        {
            assert_eq!(size(text), bytes(value), "{text}");
        }
        for bad in ["x", "-1", "+1", "1.", ".5", "k", "B", "1KiB", "1e3", "1 G", "1_0", "é", "1é", "10G/"] {
            assert!(size(bad).expect_err(bad).contains("is no size"), "{bad}");
        }
        for large in ["8192P", "9999999999999999999999999999999999999999999P", "9223372036854775808"] {
            assert!(size(large).expect_err(large).contains("more than an image"), "{large}");
        }
        assert_eq!(size("9223372036854775807"), bytes(i64::MAX as u64));
    }

    #[test]
    fn unclear_urls_are_refused_with_an_example() {
        for (url, help) in [
            ("disk.img", "file://disk.img"),
            ("", "file://disk.img"),
            ("ftp://x", "rbd://POOL"),
            ("file://", "no path"),
            ("file:///a?b", "'/a?b'"),
            ("file://a#b", "'./a#b'"),
        ] {
            let message = Location::parse(url).expect_err(url);
            assert!(message.contains(help), "{url}: {message}");
        }
        assert!(matches!(Location::parse("RBD://pool/image@s"), Ok(Location::Rbd(_))));
        assert!(Location::parse("rbd://pool").is_err());
    }
}

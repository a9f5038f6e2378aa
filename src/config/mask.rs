//! Keeps secret values out of messages.

/// Replaces a secret in a message.
const MASK: &str = "***";
/// The most characters of a value in a message.
const SHOWN: usize = 80;
/// A value with at least this many hex digits may be a key in the wrong place.
const KEY_DIGITS: usize = 32;

/// Keys whose values never appear in a message.
pub(super) const SECRET: [&str; 3] = ["encryption_key", "aws_access_key_id", "aws_secret_access_key"];

/// Replaces the password in the URL of a metadata engine with `***`, for messages.
///
/// This also hides a password that is not percent-encoded as it should be: everything from the first `:` after the
/// scheme to the last `@`. Parameters called `password` are hidden too. URLs of SQLite have no password before an `@`.
pub fn mask_url(url: &str) -> String {
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + "://".len()),
        None => ("", url),
    };
    let rest = match (rest.find(':'), rest.rfind('@')) {
        (Some(colon), Some(at)) if colon < at && !scheme.to_ascii_lowercase().starts_with("sqlite") => {
            format!("{}{MASK}{}", &rest[..=colon], &rest[at..])
        }
        _ => rest.to_owned(),
    };
    format!("{scheme}{}", mask_parameters(&rest))
}

/// Hides the values of `…password=…`, up to the next parameter.
fn mask_parameters(text: &str) -> String {
    const NAME: &str = "password=";
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find(NAME) {
        let (before, value) = rest.split_at(at + NAME.len());
        masked.push_str(before);
        masked.push_str(MASK);
        rest = value.find(|c: char| c == '&' || c.is_whitespace()).map_or("", |end| &value[end..]);
    }
    masked + rest
}

/// A value for a message: in quotes, shortened, without secrets.
pub(super) fn shown(key: &str, value: &str) -> String {
    let hidden = SECRET.contains(&key)
        || (key == "engine" && !value.contains("://"))
        || (value.len() >= KEY_DIGITS && value.bytes().all(|c| c.is_ascii_hexdigit()));
    if hidden {
        return "the value (not shown)".to_owned();
    }
    let masked = mask_url(value);
    match masked.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &masked[..end]),
        None => format!("{masked:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        for (url, masked) in [
            ("sqlite:////var/lib/backy.sqlite", "sqlite:////var/lib/backy.sqlite"),
            ("sqlite:////srv/a:b@c/backy.sqlite", "sqlite:////srv/a:b@c/backy.sqlite"),
            ("postgresql:///backy", "postgresql:///backy"),
            ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
            ("postgresql://u:p@h:5432/db", "postgresql://u:***@h:5432/db"),
            ("postgresql+psycopg2://u:p%40@h/db", "postgresql+psycopg2://u:***@h/db"),
            ("postgresql://u:p@s/w:o@r@h/db", "postgresql://u:***@h/db"),
            ("postgresql://u/x:p@h/db", "postgresql://u/x:***@h/db"),
            ("postgresql://:p@h/db", "postgresql://:***@h/db"),
            (
                "postgresql://h/db?password=p&sslmode=require",
                "postgresql://h/db?password=***&sslmode=require",
            ),
            ("postgresql://h/db?a=1&PASSWORD=p", "postgresql://h/db?a=1&PASSWORD=***"),
            ("u:p@h", "u:***@h"),
            ("host=h password=p dbname=d", "host=h password=*** dbname=d"),
            ("", ""),
            ("://", "://"),
        ] {
            assert_eq!(mask_url(url), masked);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown("block_size", "abc\n"), r#""abc\n""#);
        assert_eq!(shown("path", &"é".repeat(100)), format!("{:?}…", "é".repeat(80)));
        assert_eq!(shown("engine", "postgresql://u:p@h/d"), r#""postgresql://u:***@h/d""#);
        for (key, value) in [
            ("encryption_key", "decafbad"),
            ("aws_secret_access_key", "decafbad"),
            ("engine", "decafbad"),
            ("hash_function", &"decafbad".repeat(8)),
        ] {
            assert_eq!(shown(key, value), "the value (not shown)");
        }
    }
}

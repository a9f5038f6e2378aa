//! Extracts the few needed parts of S3's answers.
//!
//! Servers differ in namespaces, prologues and the order of elements, so a strict parser would refuse some of their
//! answers. All elements of S3 have the plain form `<Name>text</Name>`, which this finds.

/// The contents of all elements named `name`, in order. An element without its end tag is ignored.
pub(super) fn elements<'x>(text: &'x str, name: &str) -> impl Iterator<Item = &'x str> {
    let close = format!("</{name}>");
    let open = format!("<{name}");
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let after = &rest[rest.find(&open)? + open.len()..];
            rest = after;
            // The name may be followed by attributes, or be the start of a longer name.
            if !after.starts_with(['>', ' ', '\t', '\r', '\n', '/']) {
                continue;
            }
            let start = after.find('>')? + 1;
            if after[..start].ends_with("/>") {
                rest = &after[start..];
                return Some("");
            }
            let end = start + after[start..].find(&close)?;
            rest = &after[end + close.len()..];
            return Some(&after[start..end]);
        }
    })
}

/// The text of the first element named `name`, with its entities replaced.
pub(super) fn text(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).next().map(unescaped)
}

/// Replaces the five XML entities and numeric character references.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain += before;
        let (entity, behind) = after.split_once(';').unwrap_or((after, ""));
        let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        match entity {
            "amp" => plain.push('&'),
            "lt" => plain.push('<'),
            "gt" => plain.push('>'),
            "quot" => plain.push('"'),
            "apos" => plain.push('\''),
            _ => plain.extend(match entity.strip_prefix("#x") {
                Some(digits) => number(digits, 16),
                None => entity.strip_prefix('#').and_then(|digits| number(digits, 10)),
            }),
        }
        rest = behind;
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_with_and_without_attributes() {
        let xml = "<?xml version=\"1.0\"?>\n<R xmlns=\"http://x/\"><Keys>no</Keys><Key>a</Key><K><Key x='1'>b&amp;c\
                   </Key></K><Key/><Key>open";
        assert_eq!(elements(xml, "Key").collect::<Vec<_>>(), ["a", "b&amp;c", ""]);
        assert_eq!(elements(xml, "K").collect::<Vec<_>>(), ["<Key x='1'>b&amp;c</Key>"]);
        assert_eq!(text(xml, "Key").as_deref(), Some("a"));
        assert_eq!(text(xml, "Missing"), None);
        assert_eq!(text("", "Key"), None);
    }

    #[test]
    fn entities_are_replaced() {
        let token = text("<T>a&lt;b&#47;&#x2F;c&amp;amp;&quot;&apos;&gt;&nonsense;d&</T>", "T");
        assert_eq!(token.as_deref(), Some("a<b//c&amp;\"'>d"));
    }
}

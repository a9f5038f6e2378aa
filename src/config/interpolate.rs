//! Expands `%` in values of INI files: `%%` is a percent sign, `%(name)s` is the value of another key of the section.

use super::raw::{Value, ValueKind};

/// How deep references may be nested. The limit is Python's.
const MAX_DEPTH: usize = 10;
/// The longest result in bytes. Nested references multiply.
const MAX_LENGTH: usize = 1 << 20;
/// The most references followed for one value. References to empty values do not add to its length.
const MAX_REFERENCES: usize = 10_000;

/// Why a value cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// A `%` without a `%` or `(` after it.
    Percent,
    /// `%(` without `)s`.
    Unclosed,
    /// There is no key of that name.
    Missing(String),
    /// References are nested too deep, or form a circle.
    Depth,
    /// The result is too long, or has too many references.
    Length,
}

/// Expands `value`. `lookup` finds the value of a key by its name in lower case.
pub(super) fn expand<'a>(
    value: &Value,
    lookup: &dyn Fn(&str) -> Option<&'a Value>,
) -> Result<String, Problem> {
    let mut expansion = Expansion { text: String::new(), references: 0, lookup };
    expansion.append(value, 1)?;
    Ok(expansion.text)
}

struct Expansion<'l, 'a> {
    text: String,
    references: usize,
    lookup: &'l dyn Fn(&str) -> Option<&'a Value>,
}

impl Expansion<'_, '_> {
    fn append(&mut self, value: &Value, depth: usize) -> Result<(), Problem> {
        let mut rest = value.text.as_str();
        // A text without `%` may be one level deeper, because Python does not count it.
        if value.kind == ValueKind::Ini && rest.contains('%') {
            if depth > MAX_DEPTH {
                return Err(Problem::Depth);
            }
            while let Some(at) = rest.find('%') {
                self.text.push_str(&rest[..at]);
                let token = &rest[at..];
                if let Some(after) = token.strip_prefix("%%") {
                    self.text.push('%');
                    rest = after;
                } else {
                    let name = reference(token)?;
                    rest = &token[name.len() + "%()s".len()..];
                    self.refer(name.to_lowercase(), depth)?;
                }
            }
        }
        self.text.push_str(rest);
        if self.text.len() > MAX_LENGTH { Err(Problem::Length) } else { Ok(()) }
    }

    fn refer(&mut self, name: String, depth: usize) -> Result<(), Problem> {
        self.references += 1;
        if self.references > MAX_REFERENCES {
            return Err(Problem::Length);
        }
        let found = (self.lookup)(&name).ok_or(Problem::Missing(name))?;
        self.append(found, depth + 1)
    }
}

/// The name in the `%(name)s` at the start of `token`.
fn reference(token: &str) -> Result<&str, Problem> {
    let inner = token.strip_prefix("%(").ok_or(Problem::Percent)?;
    match inner.split_once(')') {
        Some((name, after)) if !name.is_empty() && after.starts_with('s') => Ok(name),
        _ => Err(Problem::Unclosed),
    }
}

/// The names, in lower case, of the keys that `value` refers to. Malformed references are skipped.
pub(super) fn references(value: &Value) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = if value.kind == ValueKind::Ini { value.text.as_str() } else { "" };
    while let Some(at) = rest.find('%') {
        let token = &rest[at..];
        if let Ok(name) = reference(token) {
            names.push(name.to_lowercase());
        }
        let skip = if token.starts_with("%%") { 2 } else { 1 };
        rest = &token[skip..];
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::super::raw::Section;
    use super::*;

    fn section(text: &str) -> Section {
        let raw = ini::parse(&format!("[s]\n{text}"), &"f".into()).expect("well-formed");
        raw.sections.into_iter().next().expect("one section")
    }

    fn expanded(text: &str) -> Result<String, Problem> {
        let section = section(text);
        expand(section.get("k").expect("there"), &|name| section.get(name))
    }

    #[test]
    fn references_and_percent_signs_are_expanded() {
        for (text, result) in [
            ("k: 100%%", "100%"),
            ("k: %%%%(a)s", "%%(a)s"),
            ("k: %(a)s/x%(A)s\na: 1", "1/x1"),
            ("k: %(a)s\na: <%(b)s>\nb: %%", "<%>"),
            ("k: %(a b)s\na b: 1", "1"),
            ("k: %(a)s\na:", ""),
            ("k: a%(a)s\na: b\n  c", "ab\nc"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(result), "{text}");
        }
    }

    #[test]
    fn broken_references_are_reported() {
        for (text, problem) in [
            ("k: 100%", Problem::Percent),
            ("k: %40", Problem::Percent),
            ("k: %(a", Problem::Unclosed),
            ("k: %(a)", Problem::Unclosed),
            ("k: %(a)d", Problem::Unclosed),
            ("k: %()s", Problem::Unclosed),
            ("k: %(a)s", Problem::Missing("a".into())),
            ("k: %( a)s\na: 1", Problem::Missing(" a".into())),
            ("k: %(k)s", Problem::Depth),
            ("k: %(a)s\na: %(k)s", Problem::Depth),
        ] {
            assert_eq!(expanded(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn ten_levels_are_deep_enough() {
        let chain = |levels: usize| {
            let mut text = String::from("k: %(k2)s\n");
            for level in 2..levels {
                text += &format!("k{level}: %(k{})s\n", level + 1);
            }
            text + &format!("k{levels}: end\n")
        };
        assert_eq!(expanded(&chain(11)).as_deref(), Ok("end"));
        assert_eq!(expanded(&chain(12)), Err(Problem::Depth));
    }

    #[test]
    fn references_that_multiply_end_in_an_error() {
        let mut text = format!("k: %(a)s\na: {}\n", "%(b)s".repeat(100));
        text += &format!("b: {}\nc: {}\nd: {}\n", "%(c)s".repeat(100), "%(d)s".repeat(100), "x".repeat(100));
        assert_eq!(expanded(&text), Err(Problem::Length));
        let many = |name: &str| format!("%({name})s").repeat(200);
        let empty = format!("k: {}\na: {}\nb: {}\nc:\n", many("a"), many("b"), many("c"));
        assert_eq!(expanded(&empty), Err(Problem::Length));
    }

    #[test]
    fn literal_values_stay_as_they_are() {
        let mut literal = section("k: %(a)s %").keys[0].1.clone();
        literal.kind = ValueKind::Text;
        assert_eq!(expand(&literal, &|_| None).as_deref(), Ok("%(a)s %"));
        assert_eq!(expand(&section("k: %(l)s").keys[0].1, &|_| Some(&literal)).as_deref(), Ok("%(a)s %"));
        assert!(references(&literal).is_empty());
    }

    #[test]
    fn references_are_found_for_the_check_of_unknown_keys() {
        assert_eq!(references(&section("k: %%(no)s %(A)s/%(b)s %(x").keys[0].1), ["a", "b"]);
    }
}

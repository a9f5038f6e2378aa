//! Patterns for names, as the shell and Python's `fnmatch` have them.

/// Whether all of `name` matches `pattern`. `*` stands for any text, `?` for one character, `[abc]` and `[a-c]` for one
/// of these characters, and `[!abc]` for any other one. A `[` without its `]` is an ordinary character. Case matters.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut read) = (0, 0);
    // After the last `*`: the rest of the pattern, and the first character that the `*` does not stand for yet.
    let mut star = None;
    while read < name.len() {
        if pattern.get(at) == Some(&'*') {
            at += 1;
            star = Some((at, read));
            continue;
        }
        if let Some(next) = one(&pattern, at, name[read]) {
            (at, read) = (next, read + 1);
            continue;
        }
        // Let the `*` stand for one more character.
        let Some((rest, begin)) = star else { return false };
        star = Some((rest, begin + 1));
        (at, read) = (rest, begin + 1);
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// The place behind the item at `at` if that stands for `c`.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    let item = *pattern.get(at)?;
    if item == '['
        && let Some(end) = end_of_set(pattern, at)
    {
        return in_set(&pattern[at + 1..end], c).then_some(end + 1);
    }
    (item == '?' || item == c).then_some(at + 1)
}

/// The place of the `]` that ends the set that begins at `at`. A `]` that is the first character belongs to the set.
fn end_of_set(pattern: &[char], at: usize) -> Option<usize> {
    let first = at + 1 + usize::from(pattern.get(at + 1) == Some(&'!'));
    let rest = pattern.get(first + 1..)?;
    rest.iter().position(|c| *c == ']').map(|found| first + 1 + found)
}

fn in_set(set: &[char], c: char) -> bool {
    let (inverted, mut rest) = match set.split_first() {
        Some(('!', rest)) => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    while let Some(first) = rest.first() {
        if let [first, '-', last, ..] = rest {
            found |= (*first..=*last).contains(&c);
            rest = &rest[3..];
        } else {
            found |= *first == c;
            rest = &rest[1..];
        }
    }
    found != inverted
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_those_of_python() {
        for (pattern, name, wanted) in [
            ("vm1", "vm1", true),
            ("vm1", "vm10", false),
            ("vm1", "VM1", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "any thing", true),
            ("vm*", "vm", true),
            ("vm*", "xvm", false),
            ("*.db", "a.b.db", true),
            ("*.db", "a.dbx", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("vm?", "vm1", true),
            ("vm?", "vm", false),
            ("v?", "vö", true),
            ("vm[12]", "vm2", true),
            ("vm[12]", "vm3", false),
            ("vm[0-9]*", "vm7-data", true),
            ("vm[!0-9]", "vm7", false),
            ("vm[!0-9]", "vmx", true),
            ("[]a]", "]", true),
            ("[!]a]", "]", false),
            ("[a-]", "-", true),
            ("a[b", "a[b", true),
            ("a[b", "ab", false),
            ("*[", "x[", true),
            ("**a", "bba", true),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_long_time() {
        assert!(!matches(&"a*".repeat(50), &"a".repeat(49)));
        assert!(matches(&"a*".repeat(50), &"a".repeat(500)));
    }
}

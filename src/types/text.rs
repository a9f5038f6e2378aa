//! Text from outside, made safe for a terminal and a log.

use std::borrow::Cow;

/// Whether a character may move the cursor, begin a line, or reverse the direction of the text after it: control
/// characters, line and paragraph separators, and marks that change the writing direction.
pub(crate) fn is_unruly(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Replaces each character for which `spoils` returns true by an escape such as `\n` or `\u{1b}`.
pub(crate) fn escape(text: &str, spoils: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&spoils) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !spoils(c) => escaped.push(c),
            c if c.is_ascii_control() => escaped.extend(c.escape_default()),
            c => escaped.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(escaped)
}

/// Escapes `text` so that it stays on one line and does not move the cursor.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_unruly)
}

/// The text that the standard library adds to error texts of the system.
const NUMBER: &str = " (os error ";
/// The system's text for a file that has become too large, and the text that replaces it.
const TOO_LARGE: (&str, &str) = (
    "File too large",
    "File too large: the file size limit (`ulimit -f`), or that of the file system, is reached",
);

/// The text of an error of the system, without the number that the standard library adds.
pub(crate) fn of_system(error: &std::io::Error) -> String {
    without_numbers(&error.to_string()).into_owned()
}

/// Removes the error numbers that the standard library adds to the system's error texts.
pub(crate) fn without_numbers(text: &str) -> Cow<'_, str> {
    if !text.contains(NUMBER) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(NUMBER);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        match part.as_bytes().get(digits) {
            Some(b')') if digits > 0 => {
                if plain.ends_with(TOO_LARGE.0) {
                    plain.truncate(plain.len() - TOO_LARGE.0.len());
                    plain += TOO_LARGE.1;
                }
                plain += &part[digits + 1..];
            }
            _ => {
                plain += NUMBER;
                plain += part;
            }
        }
    }
    Cow::Owned(plain)
}

/// A number with the right form of what follows: `1 version`, `2 versions`.
pub(crate) fn plural(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// Quotes a word for a shell command line, if it needs quotes.
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    if word.contains(is_unruly) {
        // Bash, zsh and ksh read this form. The characters themselves could not be copied from a screen.
        let mut quoted = String::from("$'");
        for c in word.chars() {
            match c {
                '\'' | '\\' => quoted.extend(['\\', c]),
                c if is_unruly(c) => {
                    let mut bytes = [0; 4];
                    c.encode_utf8(&mut bytes).bytes().for_each(|b| quoted += &format!("\\x{b:02x}"));
                }
                c => quoted.push(c),
            }
        }
        return Cow::Owned(quoted + "'");
    }
    Cow::Owned(format!("'{}'", word.replace('\'', "'\\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_begins_a_line() {
        for (text, shown) in [
            ("vm1 ä 日本", "vm1 ä 日本"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("x\u{9b}31m\u{85}", "x\\u{9b}31m\\u{85}"),
            ("a\u{202e}b\u{2066}c\u{200f}\u{2028}", "a\\u{202e}b\\u{2066}c\\u{200f}\\u{2028}"),
            ("back\\slash", "back\\slash"),
        ] {
            assert_eq!(line(text), shown);
        }
        assert!(matches!(line("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn numbers_of_errors_go_and_the_limit_of_sizes_is_named() {
        for (text, shown) in [
            ("No such file or directory (os error 2)", "No such file or directory"),
            ("a: x (os error 2). b: y (os error 13)!", "a: x. b: y!"),
            ("(os error 2)", "(os error 2)"),
            ("x (os error two)", "x (os error two)"),
            ("x (os error )", "x (os error )"),
            ("x (os error 2", "x (os error 2"),
        ] {
            assert_eq!(without_numbers(text), shown);
        }
        let text = std::io::Error::from_raw_os_error(27).to_string();
        assert!(without_numbers(&text).contains("ulimit -f"), "{text}");
    }

    #[test]
    fn only_one_has_the_singular() {
        let shown = |number| plural(number, "version is", "versions are");
        assert_eq!([0, 1, 2].map(shown), ["0 versions are", "1 version is", "2 versions are"]);
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, shown) in [
            ("file:///srv/vm1.img", "file:///srv/vm1.img"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$(x)", "'$(x)'"),
            ("a\nb'", "$'a\\x0ab\\''"),
        ] {
            assert_eq!(quoted(word), shown);
        }
        let hostile = "a'b\\c\nd\u{202e}$x `y` \"z\" ü";
        let script = format!("printf %s {}", quoted(hostile));
        let printed = std::process::Command::new("bash").args(["-c", &script]).output().expect("bash");
        assert_eq!(String::from_utf8_lossy(&printed.stdout), hostile);
    }
}

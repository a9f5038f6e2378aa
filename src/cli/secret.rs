//! Master keys on the command line, where a user may put them by mistake.

use std::ffi::OsString;

/// Shown instead of a key.
pub(super) const MASK: &str = "********";
/// A run of this many hex digits is taken for a key. The longest run in a uid has 12.
const DIGITS: usize = 40;
/// The same where a key is expected and may be split into groups. The groups of a uid are shorter.
const DIGITS_OF_A_PIECE: usize = 16;

/// Masks in `text` those of `words` that could be a key, also behind `--option=`.
pub(super) fn without_keys(text: &str, words: &[OsString]) -> String {
    let expected = words.iter().any(|word| word == "rekey");
    let least = if expected { DIGITS_OF_A_PIECE } else { DIGITS };
    let keys = words.iter().filter_map(|word| word.to_str()).filter(|word| could_be_key(word, least));
    keys.fold(text.to_owned(), |text, key| text.replace(key, MASK))
}

fn could_be_key(word: &str, least: usize) -> bool {
    let mut digits = 0;
    word.bytes().any(|byte| {
        digits = if byte.is_ascii_hexdigit() { digits + 1 } else { 0 };
        digits >= least
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_looks_like_a_key_is_masked() {
        let key = "decafbad".repeat(8);
        let option = format!("--key={key}");
        let words = ["backy2", "rekey", &key[..63], &option, "da3b9c6a-e505-11f1-90ca-02fc00000001"];
        let words = words.map(OsString::from);
        let text = format!("'{option}' and {} and {}", &key[..63], words[4].to_string_lossy());
        assert_eq!(
            without_keys(&text, &words[3..]),
            format!("'********' and {} and {}", &key[..63], words[4].to_string_lossy())
        );
        assert!(!without_keys(&text, &words).contains("decafbad"));
        assert!(without_keys(&text, &words).contains("da3b9c6a-e505-11f1-90ca-02fc00000001"));
    }
}

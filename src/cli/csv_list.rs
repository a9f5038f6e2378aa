//! Comma-separated lists on the command line: tags and fields.

use crate::types::error::{Error, Result};

/// Parses `text` as one CSV record, so items may be quoted. Trims blanks around items. An empty text has no items.
///
/// # Errors
/// [`Error::Refused`] if it has more than one line.
pub(crate) fn items(text: &str) -> Result<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut records = reader.records();
    let refused = || Error::refused(format!("Not a comma-separated list: {text:?}"));
    let items = match records.next() {
        None => Vec::new(),
        Some(Ok(record)) => record.iter().map(|item| item.trim().to_owned()).collect(),
        Some(Err(_)) => return Err(refused()),
    };
    if records.next().is_some() { Err(refused()) } else { Ok(items) }
}

/// A column that `-f` can choose.
pub(crate) trait Choice: Copy + 'static {
    /// All columns, in the order of the default output.
    const ALL: &'static [Self];

    /// The name of the column, in `-f` and in the header.
    fn title(self) -> &'static str;
}

/// The columns that `-f LIST` names, or all columns without `-f`.
///
/// # Errors
/// [`Error::Refused`] if a column does not exist, or the list is empty.
pub(crate) fn fields<F: Choice>(list: Option<&str>) -> Result<Vec<F>> {
    let Some(list) = list else { return Ok(F::ALL.to_vec()) };
    let known = || F::ALL.iter().map(|field| field.title()).collect::<Vec<_>>().join(", ");
    let names = items(list)?;
    if names.is_empty() {
        return Err(Error::refused(format!("No fields given. There are: {}", known())));
    }
    let field = |name: &String| {
        let found = F::ALL.iter().copied().find(|field| field.title() == name);
        found.ok_or_else(|| Error::refused(format!("Unknown field '{name}'. There are: {}", known())))
    };
    names.iter().map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fruit {
        Apple,
        Pear,
    }

    impl Choice for Fruit {
        const ALL: &'static [Self] = &[Fruit::Apple, Fruit::Pear];
        fn title(self) -> &'static str {
            match self {
                Fruit::Apple => "apple",
                Fruit::Pear => "pear (s)",
            }
        }
    }

    #[test]
    fn lists_are_one_csv_record() {
        for (text, expected) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a, b ,\"x,y\"", &["a", "b", "x,y"]),
            ("b1, b2,\"c,d\"", &["b1", "b2", "c,d"]),
            ("\"say \"\"hi\"\"\",", &["say \"hi\"", ""]),
            ("\"open", &["open"]),
            ("ä , 日本", &["ä", "日本"]),
            ("a\n", &["a"]),
        ] {
            assert_eq!(items(text).expect(text), expected, "{text:?}");
        }
        assert!(matches!(items("a\nb"), Err(Error::Refused(_))));
    }

    #[test]
    fn fields_are_looked_up() {
        assert_eq!(fields::<Fruit>(None).expect("all"), [Fruit::Apple, Fruit::Pear]);
        assert_eq!(fields::<Fruit>(Some("pear (s), apple")).expect("two"), [Fruit::Pear, Fruit::Apple]);
        for (list, said) in
            [("apple,foo", "'foo'"), ("", "No fields"), ("Apple", "'Apple'"), ("apple,", "''")]
        {
            match fields::<Fruit>(Some(list)) {
                Err(Error::Refused(text)) => {
                    assert!(text.line().contains(said) && text.line().contains("apple, pear (s)"), "{text}");
                }
                other => panic!("{list}: {other:?}"),
            }
        }
    }
}

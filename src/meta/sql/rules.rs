//! A hook with which tests remove a rule from the SQL, to show that the rule is needed.

/// The statement as it is run: `sql` itself, unless a test has changed it on this thread.
#[cfg(not(test))]
pub(crate) fn applied(sql: &str) -> std::borrow::Cow<'_, str> {
    std::borrow::Cow::Borrowed(sql)
}

#[cfg(test)]
pub use tests::applied;

#[cfg(test)]
pub mod tests {
    use std::borrow::Cow;
    use std::cell::RefCell;

    struct Change {
        part: String,
        with: String,
        used: bool,
    }

    thread_local! {
        static CHANGES: RefCell<Vec<Change>> = const { RefCell::new(Vec::new()) };
    }

    /// From now on, this thread replaces `part` by `with` in every statement.
    pub fn replace(part: &str, with: &str) {
        let change = Change { part: part.to_owned(), with: with.to_owned(), used: false };
        CHANGES.with_borrow_mut(|changes| changes.push(change));
    }

    /// Ends all replacements of this thread. Returns the parts that no statement contained. A test with such a part
    /// tests nothing.
    #[must_use]
    pub fn restore() -> Vec<String> {
        let changes = CHANGES.with_borrow_mut(std::mem::take);
        changes.into_iter().filter(|change| !change.used).map(|change| change.part).collect()
    }

    pub fn applied(sql: &str) -> Cow<'_, str> {
        CHANGES.with_borrow_mut(|changes| {
            let found = changes.iter_mut().filter(|change| sql.contains(&change.part));
            found.fold(Cow::Borrowed(sql), |sql, change| {
                change.used = true;
                Cow::Owned(sql.replace(&change.part, &change.with))
            })
        })
    }
}

//! Where a test takes a rule out of the SQL, to see that it is missed.

/// The statement as it is run: `sql` itself, unless a test has changed it on this thread.
#[cfg(not(test))]
pub fn applied(sql: &str) -> std::borrow::Cow<'_, str> {
    std::borrow::Cow::Borrowed(sql)
}

#[cfg(test)]
pub use tests::applied;

#[cfg(test)]
pub mod tests {
    use std::borrow::Cow;
    use std::cell::RefCell;

    thread_local! {
        static CHANGES: RefCell<Vec<(String, String)>> = const { RefCell::new(Vec::new()) };
    }

    /// From now on this thread runs `with` in place of `part`, in every statement that has it.
    pub fn replace(part: &str, with: &str) {
        CHANGES.with_borrow_mut(|changes| changes.push((part.to_owned(), with.to_owned())));
    }

    /// Statements are run as they are again.
    pub fn restore() {
        CHANGES.with_borrow_mut(Vec::clear);
    }

    pub fn applied(sql: &str) -> Cow<'_, str> {
        CHANGES.with_borrow(|changes| {
            let found = changes.iter().filter(|(part, _)| sql.contains(part));
            found.fold(Cow::Borrowed(sql), |sql, (part, with)| Cow::Owned(sql.replace(part, with)))
        })
    }
}

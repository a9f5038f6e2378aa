//! Records the transactions of this thread, so that a test can compare the order of verbs.

use std::cell::RefCell;

thread_local! {
    static RECORDED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Records the purpose of a transaction.
pub fn note(what: &str) {
    RECORDED.with_borrow_mut(|recorded| recorded.iter_mut().for_each(|list| list.push(what.to_owned())));
}

/// Runs `work`. Returns the purposes of the transactions of this thread, in order.
pub fn record(work: impl FnOnce()) -> Vec<String> {
    RECORDED.set(Some(Vec::new()));
    work();
    RECORDED.take().unwrap_or_default()
}

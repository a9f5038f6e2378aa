//! Records the steps of a command on this thread, so that a test can compare their order.

use std::cell::RefCell;

thread_local! {
    static RECORDED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Records a step, if [`record`] is running.
pub(super) fn note(step: &str) {
    RECORDED.with_borrow_mut(|recorded| recorded.iter_mut().for_each(|list| list.push(step.to_owned())));
}

/// Runs `work`, and returns its steps in order.
pub(crate) fn record(work: impl FnOnce()) -> Vec<String> {
    RECORDED.set(Some(Vec::new()));
    work();
    RECORDED.take().unwrap_or_default()
}

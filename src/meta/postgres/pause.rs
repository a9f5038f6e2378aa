//! A hook with which tests control the order of concurrent transactions.

/// Called before each statement.
#[cfg(not(test))]
pub(super) fn point(_: &str) {}

#[cfg(test)]
pub(in crate::meta) use tests::point;

#[cfg(test)]
pub(in crate::meta) mod tests {
    use std::cell::RefCell;

    type Hook = Box<dyn FnMut(&str)>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// From now on this thread calls `hook` before each statement.
    pub fn set(hook: Option<Hook>) {
        HOOK.with_borrow_mut(|place| *place = hook);
    }

    pub fn point(sql: &str) {
        // Take the hook out during the call, because it may run statements itself.
        let Some(mut hook) = HOOK.with_borrow_mut(Option::take) else { return };
        hook(sql);
        HOOK.with_borrow_mut(|place| *place = Some(hook));
    }
}

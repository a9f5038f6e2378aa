//! Two commands on two threads, of which one runs at a time. A command hands the baton over before each of its
//! statements, and gets it back for its next turn. A command that waits for a lock of the database gets no turn until
//! it has the lock.

use crate::meta::postgres::pause;
use crate::meta::sql::rules::tests::{replace, restore};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// The position of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The command is about to do this.
    Before(String),
    /// The command runs, or waits for a lock.
    Running,
    /// The command has ended, perhaps with a fault.
    Ended(Option<String>),
}

/// The positions of both commands.
#[derive(Debug)]
pub struct Baton {
    at: Mutex<[At; 2]>,
    moved: Condvar,
}

impl Baton {
    pub fn new() -> Arc<Baton> {
        Arc::new(Baton { at: Mutex::new([At::Running, At::Running]), moved: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, [At; 2]> {
        self.at.lock().expect("nobody has panicked")
    }

    pub fn at(&self, who: usize) -> At {
        self.lock()[who].clone()
    }

    /// Waits for the turn of the command that calls it.
    pub fn pass(&self, who: usize, next: &str) {
        let mut at = self.lock();
        at[who] = At::Before(next.split_whitespace().collect::<Vec<_>>().join(" "));
        self.moved.notify_all();
        while at[who] != At::Running {
            at = self.moved.wait(at).expect("nobody has panicked");
        }
    }

    /// Ends the command that calls it.
    pub fn end(&self, who: usize, fault: Option<String>) {
        self.lock()[who] = At::Ended(fault);
        self.moved.notify_all();
    }

    /// Gives a command its turn.
    pub fn go(&self, who: usize) {
        self.lock()[who] = At::Running;
        self.moved.notify_all();
    }

    /// Waits until a command no longer runs, or `waits` says that it waits for a lock. Returns whether it waits.
    pub fn settle(&self, who: usize, mut waits: impl FnMut() -> bool) -> bool {
        let mut at = self.lock();
        let mut patience = Duration::from_millis(3);
        while at[who] == At::Running {
            let (again, timeout) = self.moved.wait_timeout(at, patience).expect("nobody has panicked");
            at = again;
            patience = Duration::from_millis(1);
            if timeout.timed_out() && at[who] == At::Running && waits() {
                return true;
            }
        }
        false
    }
}

/// Makes this thread take turns, and changes its statements as on the thread of the test.
pub fn take_turns(baton: Arc<Baton>, who: usize, changes: &[(&str, &str)]) {
    changes.iter().for_each(|(part, with)| replace(part, with));
    pause::tests::set(Some(Box::new(move |sql| baton.pass(who, sql))));
}

/// Undoes [`take_turns`]. Returns the changes that no statement used.
pub fn stop_taking_turns() -> Vec<String> {
    pause::tests::set(None);
    restore()
}

//! Locks in a database on PostgreSQL, which several hosts may share. They are rows, and a heartbeat keeps them alive.
//!
//! They are not locks of a database session, because those end with the connection, and a backup must not lose its locks
//! when the server is restarted. So the program has to find out which holders are dead. The kernel knows that of
//! processes on the same machine. A process on another machine counts as dead if it has sent no heartbeat for a minute.
//! If it is alive after all, it finds its registration gone at its next commit ([`Fence`]).

use super::holders::Holder;
use super::registry::{self, Answer, Enrolment};
use super::{Register, Registered, Registration};
use crate::monitor::{Handle, Monitor};
use crate::pg::{self, Address, Failure, Fence, Patience, Session, is_lost, unique};
use crate::pool::threads;
use crate::types::error::{Error, Result};
use crate::types::lock::{Identity, Wish};
use crate::types::reason::Reason;
use postgres::Client;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time between two heartbeats. Several fit into the time after which a process counts as dead.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long an operation is repeated while the server cannot be reached.
const AWAY: Duration = Duration::from_secs(120);

/// A connection for locks, and this process's registration.
pub(crate) struct ServerRegister {
    shared: Arc<Shared>,
    heart: Mutex<Option<JoinHandle<()>>>,
    monitor: Handle,
}

struct Shared {
    session: Mutex<Session>,
    location: String,
    identity: Identity,
    /// The number of the registration, which is random.
    me: i64,
    fence: Fence,
    /// Locks that still have to be released.
    late: Mutex<Vec<i64>>,
    /// Set when the heartbeats must stop.
    stop: Mutex<bool>,
    stopped: Condvar,
}

/// A registered lock, until this is dropped.
pub(super) struct Lock {
    id: i64,
    /// The registration must outlive the lock.
    register: Arc<ServerRegister>,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lock({})", self.id)
    }
}

impl fmt::Debug for ServerRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerRegister({})", self.shared.location)
    }
}

impl ServerRegister {
    /// Notes the address of the database. Connects when the first lock is taken. From then on `fence` holds the
    /// registration.
    pub(crate) fn new(address: Address, monitor: Handle, fence: Fence) -> Self {
        let shared = Shared {
            location: address.to_string(),
            session: Mutex::new(Session::new(address, monitor.clone())),
            identity: Identity::own(),
            me: unique(),
            fence,
            late: Mutex::default(),
            stop: Mutex::default(),
            stopped: Condvar::new(),
        };
        ServerRegister { shared: Arc::new(shared), heart: Mutex::default(), monitor }
    }

    /// Runs `work`. Runs it again after a lost connection, so it must be safe to run twice.
    fn persist<T>(
        &self,
        what: &str,
        mut work: impl FnMut(&mut Client) -> std::result::Result<T, postgres::Error>,
    ) -> Result<T> {
        let place = &self.shared.location;
        let failed =
            |reason: Reason| Error::Metadata { database: place.clone(), reason: reason.during(what) };
        let mut patience = Patience::new(AWAY);
        loop {
            let failure = match self.shared.run(&mut work) {
                Ok(done) => return Ok(done),
                Err(Failure::Because(error)) => return Err(error),
                Err(Failure::Postgres(e)) if is_lost(&e) && self.shared.session().was_reached() => e,
                // Do not wait for a server that was never reached. Most often it has too many connections.
                Err(failure) => return Err(failed(self.shared.session().reason(failure))),
            };
            let monitor = &self.monitor;
            let mut wait =
                || patience.wait(place, &failure, || monitor.check(), |text| monitor.warning(text));
            if !wait()? {
                return Err(failed(pg::reason(failure)));
            }
        }
    }

    /// Starts the thread that sends the heartbeats, unless it runs.
    fn start_heart(&self) -> Result<()> {
        let mut heart = self.heart.lock().unwrap_or_else(PoisonError::into_inner);
        if heart.is_none() {
            let (shared, monitor) = (Arc::clone(&self.shared), self.monitor.clone());
            *heart = Some(threads::start_alone("heartbeat", move || shared.beat(&monitor))?);
        }
        Ok(())
    }
}

impl Registered for Lock {}

impl Register for ServerRegister {
    /// Waits only for a server that is away.
    fn take(self: Arc<Self>, wish: &Wish<'_>) -> Result<Registration> {
        let shared = &self.shared;
        let lock = unique();
        let enrolled = shared.fence.holder().is_some();
        let answer = self.persist("taking a lock", |client| {
            registry::take(client, Enrolment { holder: shared.me, exists: enrolled }, lock, wish)
        })?;
        if !matches!(answer, Answer::Buried) {
            shared.fence.set(Some(shared.me));
            self.start_heart()?;
        }
        match answer {
            Answer::Granted => {
                Ok(Registration::Granted(Box::new(Lock { id: lock, register: Arc::clone(&self) })))
            }
            Answer::Refused(holder) => Ok(Registration::Refused(holder)),
            Answer::Buried => Err(Fence::lost(&shared.location)),
        }
    }

    fn holder_alone(&self, name: &str) -> Result<Option<Holder>> {
        let identity = &self.shared.identity;
        self.persist("looking at locks", |client| registry::holder_of(client, identity, name))
    }

    fn list(&self) -> Result<Vec<Holder>> {
        self.persist("listing locks", registry::list)
    }

    fn dead(&self) -> Result<Vec<Holder>> {
        let identity = &self.shared.identity;
        self.persist("listing locks", |client| registry::dead(client, identity))
    }
}

impl Shared {
    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T>(
        &self,
        work: &mut impl FnMut(&mut Client) -> std::result::Result<T, postgres::Error>,
    ) -> std::result::Result<T, Failure> {
        let mut session = self.session();
        let done = match session.client() {
            Ok((client, _)) => work(client).map_err(Failure::Postgres),
            Err(failure) => Err(failure),
        };
        if done.is_err() {
            session.close();
        }
        done
    }

    fn late(&self) -> MutexGuard<'_, Vec<i64>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends heartbeats until it is stopped. A failure does no harm as long as a later heartbeat comes in time.
    fn beat(&self, monitor: &Handle) {
        let mut reported = false;
        loop {
            let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
            let (stop, _) = self
                .stopped
                .wait_timeout_while(stop, HEARTBEAT, |stop| !*stop)
                .unwrap_or_else(PoisonError::into_inner);
            if *stop {
                return;
            }
            drop(stop);
            let late = self.late().clone();
            let done = self.run(&mut |client| {
                let alive = registry::beat(client, self.me)?;
                registry::release(client, &late)?;
                Ok(alive)
            });
            if let Ok(alive) = done {
                self.late().retain(|id| !late.contains(id));
                if !alive && !std::mem::replace(&mut reported, true) {
                    monitor.error(&Fence::lost(&self.location).line());
                }
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let (shared, locks) = (&self.register.shared, [self.id]);
        if shared.run(&mut |client| registry::release(client, &locks)).is_err() {
            shared.late().push(self.id);
        }
    }
}

impl Drop for ServerRegister {
    fn drop(&mut self) {
        *self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.stopped.notify_all();
        let heart = self.heart.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(heart) = heart {
            // It ends as soon as it sees `stop`.
            let _ = heart.join();
            let me = self.shared.me;
            // If this fails, other processes find this one dead.
            let _ = self.shared.run(&mut |client| registry::leave(client, me));
        }
        self.shared.fence.set(None);
    }
}

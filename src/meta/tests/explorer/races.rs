//! PostgreSQL runs several transactions at the same time. Here two commands take turns, statement by statement, in
//! every order with at most a few preemptions. A preemption takes the turn from a command that could go on.

use super::actors::{Next, Script, Shop};
use super::ground::{Content, Ground};
use super::invariants::{Excused, check, check_end};
use super::model::Model;
use super::search::Found;
use super::server::OnServer;
use super::turns::{At, Baton, stop_taking_turns, take_turns};
use crate::meta::postgres::initialise;
use crate::meta::tests::lab::postgres::{Database, Server};
use crate::monitor::Handle;
use crate::pg::Address;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// A race of two threads.
pub struct Race {
    pub name: &'static str,
    /// The most preemptions in a long test run. With two, the longer races take a minute each.
    pub most: usize,
    /// Commands that run before.
    pub before: Vec<Script>,
    /// Commands of each thread, one after the other.
    pub threads: [Vec<Script>; 2],
}

/// The changes for a race.
#[derive(Clone, Copy, Default)]
pub struct Changed {
    /// Parts of statements, and their replacements.
    pub statements: &'static [(&'static str, &'static str)],
    /// A statement that changes the schema.
    pub schema: &'static str,
}

/// The command that got a turn, and the commands that could have had it.
struct Decision {
    ready: Vec<usize>,
    current: Option<usize>,
    chosen: usize,
}

impl Decision {
    /// Whether the turn is taken from a command that could go on, if `who` gets it.
    fn preempts(&self, who: usize) -> bool {
        self.current.is_some_and(|current| current != who && self.ready.contains(&current))
    }
}

/// A race, on a database of its own.
struct Track<'r> {
    race: &'r Race,
    changed: Changed,
    look: OnServer,
    runners: [OnServer; 2],
    content: Rc<Content>,
    model: Model,
    unused: BTreeSet<String>,
    _database: Database,
}

/// Runs `race` in every order with at most `preemptions`, until it finds a fault. Returns the number of orders, and
/// fails if a changed statement never ran.
pub fn run(
    server: &Arc<Server>,
    race: &Race,
    changed: Changed,
    preemptions: usize,
) -> (usize, Result<(), Found>) {
    let mut track = Track::new(server, race, changed);
    let mut orders = vec![Vec::new()];
    let mut count = 0;
    let mut result = Ok(());
    while let Some(order) = orders.pop() {
        count += 1;
        let decisions = match track.run(&order) {
            Ok(decisions) => decisions,
            Err(found) => {
                result = Err(found);
                break;
            }
        };
        let mut spent = 0;
        for (n, decision) in decisions.iter().enumerate() {
            let others = decision.ready.iter().filter(|who| n >= order.len() && **who != decision.chosen);
            for who in others.filter(|who| spent + usize::from(decision.preempts(**who)) <= preemptions) {
                let before = decisions[..n].iter().map(|decision| decision.chosen);
                orders.push(before.chain([*who]).collect());
            }
            spent += usize::from(decision.preempts(decision.chosen));
        }
    }
    assert_eq!(track.unused, BTreeSet::new(), "{}: no statement has that any more", race.name);
    (count, result)
}

impl<'r> Track<'r> {
    fn new(server: &Arc<Server>, race: &'r Race, changed: Changed) -> Track<'r> {
        let database = Database::new(server);
        initialise(&Address::parse(&database.url()).expect("a URL"), Handle::silent()).expect("initialises");
        let mut look = OnServer::new(&database, "explorer");
        look.old_change(changed.schema).expect("changes the schema");
        let model = Mutex::new(Model::default());
        let fault = perform(&mut look, &race.before, &model, 0, |_| ());
        assert_eq!(fault, None, "{}: before the race", race.name);
        let content = look.content();
        Track {
            race,
            changed,
            look,
            runners: [OnServer::new(&database, "runner 0"), OnServer::new(&database, "runner 1")],
            content,
            model: model.into_inner().expect("nobody has panicked"),
            unused: changed.statements.iter().map(|(part, _)| (*part).to_owned()).collect(),
            _database: database,
        }
    }

    /// Runs the race once. The turns follow `order`. After that, each command goes on as long as it can.
    fn run(&mut self, order: &[usize]) -> Result<Vec<Decision>, Found> {
        self.look.set(&self.content);
        let model = Mutex::new(self.model.clone());
        let baton = Baton::new();
        let (threads, statements) = (&self.race.threads, self.changed.statements);
        let (look, model_ref, baton_ref) = (&mut self.look, &model, &baton);
        let (unused, mut decisions, mut trace, mut fault) = std::thread::scope(|scope| {
            let mut handles = Vec::new();
            for (who, (runner, scripts)) in self.runners.iter_mut().zip(threads).enumerate() {
                handles.push(scope.spawn(move || {
                    take_turns(Arc::clone(baton_ref), who, statements);
                    let fault = perform(runner, scripts, model_ref, who, |step| baton_ref.pass(who, step));
                    let unused = stop_taking_turns();
                    baton_ref.end(who, fault);
                    unused
                }));
            }
            let (decisions, trace, fault) = control(baton_ref, look, model_ref, order);
            let ends = handles.into_iter().map(|handle| handle.join().expect("no panic"));
            let unused: Vec<BTreeSet<String>> = ends.map(|unused| unused.into_iter().collect()).collect();
            (unused, decisions, trace, fault)
        });
        self.unused.retain(|part| unused.iter().all(|unused| unused.contains(part)));
        let mut model = model.into_inner().expect("nobody has panicked");
        if fault.is_none() {
            trace.push("the last cleanups".to_owned());
            let content = self.look.content();
            let end = check(&content, &mut model, Excused::default());
            fault = end.and_then(|()| check_end(&mut self.look, &mut model, Excused::default())).err();
        }
        match fault {
            Some(fault) => Err(Found { fault, trace }),
            None => Ok(std::mem::take(&mut decisions)),
        }
    }
}

/// Runs commands one after the other. Returns the fault, if there is one.
fn perform(
    ground: &mut OnServer,
    scripts: &[Script],
    model: &Mutex<Model>,
    me: usize,
    before: impl Fn(&str),
) -> Option<String> {
    for script in scripts {
        let mut script = script.clone();
        loop {
            before(&format!("[{}]", script.label()));
            let mut shop = Shop { ground, model, me, broken: None, strict: false };
            match script.step(&mut shop) {
                Ok(Next::More) => {}
                Ok(Next::End) => break,
                Err(fault) => return Some(fault),
            }
        }
        model.lock().expect("nobody has panicked").end(me);
    }
    None
}

/// Gives turns until both commands have ended. After a fault it only brings them to their end.
fn control(
    baton: &Baton,
    look: &mut OnServer,
    model: &Mutex<Model>,
    order: &[usize],
) -> (Vec<Decision>, Vec<String>, Option<String>) {
    let (mut decisions, mut trace, mut fault) = (Vec::<Decision>::new(), Vec::new(), None);
    let mut current = None;
    loop {
        for who in 0..2 {
            baton.settle(who, || look.waits(who));
        }
        let at = [baton.at(0), baton.at(1)];
        let ready: Vec<usize> = (0..2).filter(|who| matches!(at[*who], At::Before(_))).collect();
        let Some(first) = ready.first() else {
            if at.contains(&At::Running) {
                // Both commands wait, or one waits for a lock that the other held at its end. The server resolves that.
                continue;
            }
            let ended = at.into_iter().find_map(|at| if let At::Ended(fault) = at { fault } else { None });
            return (decisions, trace, fault.or(ended));
        };
        let usual = current.filter(|who| ready.contains(who)).unwrap_or(*first);
        let wanted = order.get(decisions.len()).copied().filter(|who| ready.contains(who));
        let chosen = wanted.unwrap_or(usual);
        let At::Before(what) = &at[chosen] else { continue };
        trace.push(format!("{chosen}: {what}"));
        decisions.push(Decision { ready, current, chosen });
        current = Some(chosen);
        baton.go(chosen);
        baton.settle(chosen, || look.waits(chosen));
        if fault.is_none() && (what == "COMMIT" || what.starts_with('[')) {
            let content = look.content();
            fault =
                check(&content, &mut model.lock().expect("nobody has panicked"), Excused::default()).err();
        }
    }
}

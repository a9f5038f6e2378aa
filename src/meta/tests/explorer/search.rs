//! Explores all interleavings of a few commands, depth first. It skips states that it has seen before: the database,
//! the store and the progress of each command decide everything that follows.

use super::actors::{Break, Next, Script, Shop};
use super::ground::{Content, Ground};
use super::invariants::{Excused, check, check_end};
use super::model::Model;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Mutex;

/// A command, and whether it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Actor {
    /// `None`: it has ended.
    script: Option<Script>,
    started: bool,
}

/// A state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    content: Rc<Content>,
    model: Model,
    actors: Vec<Actor>,
    kills: u32,
}

/// A scenario to explore.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// Commands that run before, one after the other.
    pub before: Vec<Script>,
    /// Commands that run at the same time.
    pub actors: Vec<Script>,
    /// Number of commands that may be killed.
    pub kills: u32,
    pub excused: Excused,
}

/// A schedule that ends in a fault.
#[derive(Clone, Debug)]
pub struct Found {
    pub fault: String,
    pub trace: Vec<String>,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.trace.iter().try_for_each(|step| writeln!(f, "    {step}"))?;
        write!(f, "  => {}", self.fault)
    }
}

/// The extent of an exploration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    pub states: usize,
    pub steps: usize,
    pub ends: usize,
}

struct Search<'g> {
    ground: &'g mut dyn Ground,
    broken: Option<Break>,
    excused: Excused,
    seen: HashSet<State>,
    trace: Vec<String>,
    extent: Extent,
}

/// Explores all of `scenario` on `ground`, until it finds a fault.
pub fn explore(
    ground: &mut dyn Ground,
    scenario: &Scenario,
    broken: Option<Break>,
) -> (Extent, Result<(), Found>) {
    ground.set(&Rc::default());
    let mut search = Search {
        ground,
        broken,
        excused: scenario.excused,
        seen: HashSet::new(),
        trace: Vec::new(),
        extent: Extent::default(),
    };
    let actor = |script: &Script| Actor { script: Some(script.clone()), started: false };
    let actors: Vec<Actor> = scenario.before.iter().chain(&scenario.actors).map(actor).collect();
    let content = search.ground.content();
    let mut state = State { content, model: Model::default(), actors, kills: scenario.kills };
    let result = (|| {
        for number in 0..scenario.before.len() {
            while state.actors[number].script.is_some() {
                state = search.step(&state, number)?;
            }
        }
        search.visit(state)
    })();
    let Search { trace, mut extent, seen, .. } = search;
    extent.states = seen.len();
    (extent, result.map_err(|fault| Found { fault, trace }))
}

impl Search<'_> {
    /// Explores everything that can follow. After an error the trace leads to it.
    fn visit(&mut self, state: State) -> Result<(), String> {
        if self.seen.contains(&state) {
            return Ok(());
        }
        self.seen.insert(state.clone());
        let depth = self.trace.len();
        let mut moved = false;
        for (number, actor) in state.actors.iter().enumerate() {
            let Some(script) = &actor.script else { continue };
            if script.is_ready(&state.model) {
                moved = true;
                let next = self.step(&state, number)?;
                self.visit(next)?;
                self.trace.truncate(depth);
            }
            if actor.started && state.kills > 0 {
                let next = self.kill(&state, number);
                self.visit(next)?;
                self.trace.truncate(depth);
            }
        }
        if !moved {
            self.extent.ends += 1;
            self.trace.push("the last cleanups".to_owned());
            self.ground.set(&state.content);
            let mut model = state.model;
            check_end(self.ground, &mut model, self.excused)?;
            self.trace.truncate(depth);
        }
        Ok(())
    }

    fn step(&mut self, state: &State, number: usize) -> Result<State, String> {
        let mut next = state.clone();
        self.ground.set(&state.content);
        self.extent.steps += 1;
        let actor = &mut next.actors[number];
        let Some(mut script) = actor.script.take() else { return Ok(next) };
        self.trace.push(format!("{number}: {}", script.label()));
        let model = Mutex::new(std::mem::take(&mut next.model));
        let mut shop = Shop {
            ground: self.ground,
            model: &model,
            me: number,
            broken: self.broken,
            strict: !self.excused.rules,
        };
        let done = script.step(&mut shop)?;
        next.model = model.into_inner().map_err(|e| e.to_string())?;
        actor.started = true;
        match done {
            Next::More => actor.script = Some(script),
            Next::End => next.model.end(number),
        }
        next.content = self.ground.content();
        check(&next.content, &mut next.model, self.excused)?;
        Ok(next)
    }

    fn kill(&mut self, state: &State, number: usize) -> State {
        let mut next = state.clone();
        if let Some(script) = next.actors[number].script.take() {
            self.trace.push(format!("{number}: killed before: {}", script.label()));
        }
        next.model.end(number);
        next.kills -= 1;
        next
    }
}

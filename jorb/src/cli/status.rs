//! `status`
use std::{collections::BTreeMap, io::Write};

use serde::{Serialize, Serializer};

use super::{args::StatusArgs, json::as_text, tune::each_key};
use crate::{BoxError, HeldKey, Run, StateSummary, Timestamp, Tuning, Workflow, run::suspected};

pub(super) fn status<W: Workflow>(
    run: &mut Run<W>,
    args: &StatusArgs,
    out: &mut dyn Write,
) -> Result<(), BoxError> {
    let states = run.states();
    let suspects = run.suspects()?.len() as u64;
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&as_json(run, &states, suspects))?)?;
        return Ok(());
    }
    let width = states.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let digits = states.iter().map(|s| s.total().to_string().len()).max().unwrap_or(0);
    let held = run.held();
    for s in &states {
        write!(out, "{:width$}  {:>digits$}", s.name, s.total())?;
        let parts = [
            (s.ready, "ready"),
            (s.joining, "joining"),
            (s.parked, "parked"),
            (s.ended, "ended"),
            (s.cancelled, "cancelled"),
        ];
        for (n, what) in parts.into_iter().filter(|(n, _)| *n > 0) {
            let what = if what == "ready" && held.contains(&s.name) { "held" } else { what };
            write!(out, "  {n} {what}")?;
        }
        if s.ready == 0 && held.contains(&s.name) {
            write!(out, "  held")?;
        }
        writeln!(out)?;
    }
    for HeldKey { limiter, key, since } in run.held_keys() {
        writeln!(out, "held: {limiter}[{key}], since {since}")?;
    }
    if suspects > 0 {
        writeln!(out, "suspects: {}", suspected(suspects))?;
    }
    for (name, tuning) in run.tuned() {
        writeln!(out, "tuned: {name}{}: {tuning}", each_key::<W>(name))?;
    }
    writeln!(out, "{}", verdict(run, &states))?;
    Ok(())
}

fn verdict<W: Workflow>(run: &Run<W>, states: &[StateSummary]) -> &'static str {
    let parked = states.iter().any(|s| s.parked > 0);
    match (run.is_complete(), run.is_seeded(), parked) {
        (_, false, _) => "not seeded yet",
        (false, ..) => "not complete",
        (true, _, false) => "complete",
        (true, _, true) => "complete but for parked jobs; see `report`",
    }
}

fn as_json<W: Workflow>(run: &Run<W>, states: &[StateSummary], suspects: u64) -> impl Serialize {
    #[derive(Serialize)]
    struct Standing<'a> {
        states: InOrder<u64>,
        parked: u64,
        complete: bool,
        run: uuid::Uuid,
        seeded: bool,
        jobs: u64,
        ready: u64,
        joining: u64,
        ended: u64,
        cancelled: u64,
        suspects: u64,
        held: Vec<&'static str>,
        held_keys: Vec<Held>,
        tuned: BTreeMap<String, Tuning>,
        by_status: InOrder<&'a StateSummary>,
    }
    #[derive(Serialize)]
    struct Held {
        limiter: String,
        key: String,
        #[serde(serialize_with = "as_text")]
        since: Timestamp,
    }
    let held = |HeldKey { limiter, key, since }| Held { limiter, key, since };
    let sum = |of: fn(&StateSummary) -> u64| states.iter().map(of).sum::<u64>();
    Standing {
        states: InOrder(states.iter().map(|s| (s.name, s.total())).collect()),
        parked: sum(|s| s.parked),
        complete: run.is_complete(),
        run: run.id(),
        seeded: run.is_seeded(),
        jobs: sum(StateSummary::total),
        ready: sum(|s| s.ready),
        joining: sum(|s| s.joining),
        ended: sum(|s| s.ended),
        cancelled: sum(|s| s.cancelled),
        suspects,
        held: run.held(),
        held_keys: run.held_keys().into_iter().map(held).collect(),
        tuned: run.tuned().into_iter().map(|(name, tuning)| (name.to_owned(), tuning)).collect(),
        by_status: InOrder(states.iter().map(|s| (s.name, s)).collect()),
    }
}

/// An object whose keys stay in their order.
struct InOrder<V>(Vec<(&'static str, V)>);

impl<V: Serialize> Serialize for InOrder<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

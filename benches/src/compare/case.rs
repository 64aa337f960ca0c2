//! What is measured.
use super::{
    Options,
    machine::cores,
    peers::PEERS,
    rounds::{Contender, Rounds},
    sample::{Keeper, Sample},
    table::Entry,
    work::{Step, calibrate},
};

mod scale;

pub(super) use scale::scale;

/// What a step burns, where it burns something.
const MICROS: f64 = 20.0;

/// In memory.
pub(super) fn memory(options: &Options, rounds: &Rounds) -> Vec<Entry> {
    let jobs = options.jobs.unwrap_or(if options.quick { 100_000 } else { 1_000_000 });
    let spins = jobs / 10;
    let spin = Step::Spin(calibrate(MICROS));
    let mut entries = Vec::new();
    for (case, step, jobs) in [
        ("memory ready", Step::Ready, jobs),
        ("memory yield", Step::Yield, jobs),
        ("memory 20us", spin, spins),
    ] {
        let mut contenders = vec![
            Contender::new(case, "jorb", jobs, Sample::Jorb(Keeper::Memory, step)),
            Contender::new(case, "chain", jobs, Sample::Chain(step)),
            Contender::new(case, "fused", jobs, Sample::Fused(step)),
            Contender::new(case, "spawn", jobs, Sample::Spawn(step)),
        ];
        if matches!(step, Step::Spin(_)) {
            contenders.push(Contender::new(case, "cores", jobs, Sample::Cores(step)));
        }
        entries.extend(rounds.alternate(&contenders));
    }
    entries.extend(rounds.alternate(&[
        Contender::new("limits", "jorb", jobs, Sample::Jorb(Keeper::Memory, Step::Ready)),
        Contender::new("limits", "limited", jobs, Sample::Limited(Step::Ready)),
        Contender::new("limits", "keyed", jobs, Sample::Keyed(Keeper::Memory)),
    ]));
    for entry in entries.iter_mut().filter(|entry| entry.case == "memory 20us") {
        let busy = entry.transitions_per_s.map(|rate| rate * MICROS / 1e6 / cores() as f64);
        entry.more.extend(busy.map(|busy| ("share_of_cores".into(), busy)));
    }
    entries
}

/// On disk.
pub(super) fn durable(options: &Options, rounds: &Rounds) -> Vec<Entry> {
    let jobs = options.jobs.unwrap_or(100_000);
    let mut contenders = vec![
        Contender::new("durable", "jorb", jobs, Sample::Jorb(Keeper::Sqlite, Step::Ready)),
        Contender::new("durable", "rusqlite", jobs, Sample::Rusqlite),
        Contender::new("durable", "raw", jobs, Sample::Raw),
    ];
    let share = if options.quick { 0.2 } else { 1.0 };
    contenders.extend(PEERS.iter().filter(|peer| rounds.wants(peer.name)).map(|peer| peer.contender(share)));
    let mut entries = rounds.alternate(&contenders);
    entries.extend(rounds.alternate(&[
        Contender::new("limits, durable", "jorb", jobs, Sample::Jorb(Keeper::Sqlite, Step::Ready)),
        Contender::new("limits, durable", "keyed", jobs, Sample::Keyed(Keeper::Sqlite)),
    ]));
    entries
}

/// In one JSON document, and beside it in memory.
pub(super) fn json(options: &Options, rounds: &Rounds) -> Vec<Entry> {
    let sizes = if options.quick { vec![1_000, 10_000] } else { vec![1_000, 10_000, 100_000] };
    let mut entries = Vec::new();
    for jobs in options.jobs.map_or(sizes, |jobs| vec![jobs]) {
        entries.extend(rounds.alternate(&[
            Contender::new("json", "jorb", jobs, Sample::Jorb(Keeper::Json, Step::Ready)),
            Contender::new("json, memory beside it", "jorb", jobs, Sample::Jorb(Keeper::Memory, Step::Ready)),
        ]));
    }
    entries
}

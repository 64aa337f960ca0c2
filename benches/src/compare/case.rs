//! What is measured.
use super::{
    Options,
    rounds::{Contender, Rounds},
    sample::{Keeper, Sample},
    table::Entry,
    work::{Step, calibrate},
};

/// In memory.
pub(super) fn memory(options: &Options, rounds: &Rounds) -> Vec<Entry> {
    let jobs = options.jobs.unwrap_or(if options.quick { 100_000 } else { 1_000_000 });
    let spins = jobs / 10;
    let spin = Step::Spin(calibrate(20.0));
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
        entries.extend(rounds.alternate(contenders));
    }
    entries
}

/// On disk.
pub(super) fn durable(options: &Options, rounds: &Rounds) -> Vec<Entry> {
    let jobs = options.jobs.unwrap_or(100_000);
    rounds.alternate(vec![
        Contender::new("durable", "jorb", jobs, Sample::Jorb(Keeper::Sqlite, Step::Ready)),
        Contender::new("durable", "rusqlite", jobs, Sample::Rusqlite),
        Contender::new("durable", "raw", jobs, Sample::Raw),
    ])
}

//! What a store says how many there are is what whoever counts its jobs finds: after every commit, for everybody who
//! looks, across stops and crashes.
use std::path::Path;

use jorb::{
    JsonStore, MemoryStore, SqliteStore, StateId, Status, Workflow,
    store::{Access, BoxStore, Counts, Header, Store},
};
use jorb_tests::{
    bench::{Bench, Kind, Model, Random, line, pages},
    flow::Flow,
};
use proptest::{
    collection::vec,
    prelude::{Strategy, any, proptest},
    test_runner::{Config, RngAlgorithm, RngSeed},
};

/// What may happen to a run.
#[derive(Debug, Clone)]
enum Event {
    /// Something that an engine may do.
    Commit { seed: u64 },
    /// It is closed and opened again.
    Stop,
    /// It is dropped and opened again.
    Crash,
    /// All jobs are thrown away, and others are seeded.
    Again { seed: u64 },
}

impl Event {
    /// One of all, simple ones for small numbers.
    fn of(n: u32) -> Self {
        let seed = u64::from(n / 16);
        match n % 16 {
            0..12 => Event::Commit { seed },
            12..14 => Event::Crash,
            14 => Event::Stop,
            _ => Event::Again { seed },
        }
    }
}

fn seeded(bench: &mut Bench, seed: u64) -> Model {
    let mut model = Model::new(bench.store().form(), &bench.header);
    let mut random = Random::new(seed);
    for (batch, refused) in model.seed(1 + seed % 9, &mut random) {
        assert_eq!(bench.store().commit(&batch).unwrap().refused, refused);
    }
    model
}

fn happens(bench: &mut Bench, model: &mut Model, event: &Event) {
    match *event {
        Event::Commit { seed } => {
            let (batch, refused) = model.step(&mut Random::new(seed));
            assert_eq!(bench.store().commit(&batch).unwrap().refused, refused);
        }
        Event::Stop => bench.reopen(),
        Event::Crash => bench.crash(),
        Event::Again { seed } => {
            bench.store().clear().unwrap();
            bench.crash();
            *model = seeded(bench, seed);
        }
    }
}

/// By looking at every job.
fn recounted(store: &mut dyn Store<Flow>, header: &Header<Flow>) -> (Counts, Vec<u64>) {
    let states = Flow::STATES.len();
    let (mut counts, mut fresh) = (Counts::none(states), vec![0; states]);
    let mut placed = 0;
    for record in pages(store) {
        let state = record.job.state;
        counts.add(state, record.job.status, 1);
        placed += usize::from(record.placed);
        let looked_at = !(header.fresh.next..header.fresh.end).contains(&record.job.id.0);
        fresh[state.index()] += u64::from(!record.placed && !looked_at);
    }
    let places = StateId::all().flat_map(|state| Status::ALL.map(|status| (state, status)));
    let in_lines: usize = places.map(|(state, status)| line(store, state, status).len()).sum();
    assert_eq!(in_lines, placed, "the lines have those that are placed");
    (counts, fresh)
}

fn check(store: &mut dyn Store<Flow>, header: &Header<Flow>, model: &Model) {
    let said = (header.counts.clone(), header.fresh.by_state.clone());
    assert_eq!(said, recounted(store, header));
    let expected = model.header();
    assert_eq!(said, (expected.counts, expected.fresh.by_state));
}

fn counts_are_those_of_the_jobs(kind: Kind, seed: u64, events: &[Event]) {
    let mut bench = Bench::new(kind);
    let mut model = seeded(&mut bench, seed);
    for event in events {
        happens(&mut bench, &mut model, event);
        let mut other = kind.lasts.then(|| (kind.make)(bench.folder()));
        let store = other.as_deref_mut().unwrap_or_else(|| bench.store());
        let header = store.open(Access::Read).unwrap();
        check(store, &header, &model);
    }
    bench.crash();
    let header = bench.header.clone();
    check(bench.store(), &header, &model);
    let mut moving: Vec<_> = bench.store().moving().unwrap().iter().map(|record| record.job.id).collect();
    moving.sort_unstable();
    assert_eq!(moving, model.moving());
}

/// The property of one store.
macro_rules! property {
    ($name:ident, $cases:literal, lasts: $lasts:literal, $make:expr) => {
        proptest! {
            #![proptest_config(Config {
                cases: $cases,
                rng_algorithm: RngAlgorithm::XorShift,
                rng_seed: RngSeed::Fixed(0),
                failure_persistence: None,
                max_shrink_iters: 300,
                ..Config::default()
            })]

            #[test]
            fn $name(seed in 0..1_000_u64, events in vec(any::<u32>().prop_map(Event::of), 0..30)) {
                fn make(folder: &Path) -> BoxStore<Flow> {
                    let make: fn(&Path) -> _ = $make;
                    Box::new(make(folder))
                }
                counts_are_those_of_the_jobs(Kind { make, lasts: $lasts }, seed, &events);
            }
        }
    };
}

property!(memory, 400, lasts: false, |_| MemoryStore::new());
property!(json, 30, lasts: true, |folder| JsonStore::at(folder.join("run.json")));
property!(sqlite, 30, lasts: true, |folder| SqliteStore::at(folder.join("run.jorb")));

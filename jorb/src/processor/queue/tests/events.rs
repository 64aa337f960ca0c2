//! What happens to a line, at random.
use proptest::{
    collection::vec,
    prelude::{Strategy, any},
};

/// One in so many is none.
pub(super) const NONE: usize = usize::MAX;

/// What may happen to a line.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// Steps lead here, to start so much later.
    Come { jobs: usize, delay: u64 },
    /// Some of what is on its way to the store is durable; one in so many of the new jobs was not made.
    Commit { most: usize, lost: usize },
    /// The writer has nothing to commit, and reads what the line asked for.
    Read,
    /// What was read is handed over.
    Loaded,
    /// A slot looks for something to do.
    Pull,
    /// The step of a running job ends.
    Ends { which: usize },
    /// Jobs are cancelled: one in so many.
    Cancel { one_in: u64 },
    /// A line of another state reads so many fresh jobs, ours among them.
    Others { most: usize },
    /// Time goes on.
    Wait { millis: u64 },
}

/// A line fills, runs out, or stays as it is.
#[derive(Debug, Clone, Copy)]
enum Tide {
    In,
    Out,
    Slack,
}

impl Event {
    /// One of all, simple ones for small numbers.
    fn of(tide: Tide, n: u16) -> Self {
        let (kind, n) = (n % 32, n / 32);
        let (few, many) = (usize::from(n % 4), usize::from(n / 4));
        let (pulls, comes) = match tide {
            Tide::In => (2, 16),
            Tide::Out => (16, 2),
            Tide::Slack => (9, 7),
        };
        match kind {
            _ if kind < pulls => Event::Pull,
            _ if kind < pulls + comes => Event::Come { jobs: 1 + few, delay: [0, 0, 0, 2, 5, 20][many % 6] },
            18..21 => Event::Loaded,
            21..24 => Event::Read,
            24..27 => Event::Commit {
                most: [1, 2, 4, 30][many % 4],
                lost: [1, 3, 3, NONE, NONE, NONE, NONE, NONE][n as usize % 8],
            },
            27..29 => Event::Ends { which: many },
            29 => Event::Wait { millis: [1, 3, 12, 120][few] },
            30 => Event::Cancel { one_in: [1, 2, 5, 9][few] },
            _ => Event::Others { most: 1 + few },
        }
    }
}

/// What happens for a while.
pub(super) fn events() -> impl Strategy<Value = Vec<Event>> {
    let tide = (0..3_usize).prop_map(|n| [Tide::Slack, Tide::Out, Tide::In][n]);
    let events = |(tide, all): (Tide, Vec<u16>)| all.into_iter().map(|n| Event::of(tide, n)).collect();
    (tide, vec(any::<u16>(), 0..40)).prop_map(events)
}

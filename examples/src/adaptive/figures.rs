//! How well the client did, as the service saw it.
use std::fmt;

use serde::Serialize;

use crate::service::{Answer, Asked, Phase};

/// The client's rate at a request is counted over so many of them around it.
const AROUND: usize = 24;

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Share of the capacity that was used at steady state.
    steady_used: f64,
    /// Share of the requests that were refused there.
    steady_throttled: f64,
    /// Seconds after the halving at which the client asked for the last time for more than 1.25 times of what is left.
    settle_s: f64,
    #[serde(skip)]
    rows: Vec<Row>,
}

/// What came in a part of the time.
#[derive(Debug, Clone, Copy)]
struct Row {
    from: f64,
    until: f64,
    capacity: f64,
    asked: f64,
    taken: f64,
}

impl Figures {
    pub(crate) fn of(phases: &[Phase], log: &[Asked]) -> Self {
        let row = |from, until, capacity| {
            let within = || log.iter().filter(move |asked| (from..until).contains(&asked.at));
            let taken = within().filter(|asked| asked.answer == Answer::Taken).count() as f64;
            Row { from, until, capacity, asked: within().count() as f64, taken }
        };
        let steady: Vec<Row> = phases.iter().map(|p| row(p.steady, p.until, p.capacity)).collect();
        let sum = |of: fn(&Row) -> f64| steady.iter().map(of).sum::<f64>();
        let halved = &phases[1];
        let late = rates(log)
            .filter(|(at, rate)| (halved.from..halved.steady).contains(at) && *rate > 1.25 * halved.capacity);
        Figures {
            steady_used: sum(|row| row.taken) / sum(|row| row.capacity * (row.until - row.from)),
            steady_throttled: sum(|row| row.asked - row.taken) / sum(|row| row.asked),
            settle_s: late.last().map_or(0.0, |(at, _)| at - halved.from),
            rows: phases
                .iter()
                .zip(steady)
                .flat_map(|(p, steady)| [row(p.from, p.steady, p.capacity), steady])
                .collect(),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "            capacity   asked   taken   used  throttled")?;
        for (n, Row { from, until, capacity, asked, taken }) in self.rows.iter().enumerate() {
            let seconds = until - from;
            writeln!(
                f,
                "{:>9}  {capacity:5.0}/s {:5.0}/s {:5.0}/s {:4.0} %    {:5.1} %{}",
                format!("{from:.0}..{until:.0} s"),
                asked / seconds,
                taken / seconds,
                100.0 * taken / (seconds * capacity),
                100.0 * (asked - taken) / asked,
                if n % 2 == 1 { "  steady" } else { "" }
            )?;
        }
        writeln!(
            f,
            "steady: {:.1} % of the capacity used, {:.2} % of the requests throttled; {:.1} s after the halving, it follows",
            100.0 * self.steady_used,
            100.0 * self.steady_throttled,
            self.settle_s
        )
    }
}

/// When each request came, and how many per second came around it.
pub(crate) fn rates(log: &[Asked]) -> impl Iterator<Item = (f64, f64)> {
    (0..log.len()).map(|n| {
        let (first, last) = (n.saturating_sub(AROUND / 2), (n + AROUND / 2).min(log.len() - 1));
        (log[n].at, (last - first) as f64 / (log[last].at - log[first].at).max(1e-3))
    })
}

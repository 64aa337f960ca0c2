//! What jorb is to reach, beside what was measured.
use super::table::{Entry, aligned, decimals};

/// One of them.
struct Goal {
    what: &'static str,
    needed: Bound,
    measured: fn(&Entries) -> Option<f64>,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}
use Bound::{AtLeast, AtMost};

const GOALS: [Goal; 22] = [
    Goal {
        what: "durable: jorb to the bare rusqlite writer",
        needed: AtLeast(0.8),
        measured: |all| all.ratio("durable", "rusqlite"),
    },
    Goal {
        what: "durable: jorb to the fastest engine with a limit per step",
        needed: AtLeast(50.0),
        measured: |all| {
            let peers =
                [("durable", "apalis"), ("durable, three job types", "effectum"), ("durable", "durare")];
            peers.into_iter().filter_map(|(case, system)| all.ratio(case, system)).reduce(f64::min)
        },
    },
    Goal {
        what: "durable: jorb to effectum, one job, two checkpoints",
        needed: AtLeast(40.0),
        measured: |all| all.ratio("durable, one job, two checkpoints", "effectum"),
    },
    Goal {
        what: "memory, ready steps: jorb to the chain",
        needed: AtLeast(0.5),
        measured: |all| all.ratio("memory ready", "chain"),
    },
    Goal {
        what: "memory, yielding steps: jorb to a task per step",
        needed: AtLeast(1.0),
        measured: |all| all.ratio("memory yield", "spawn"),
    },
    Goal {
        what: "memory, steps of 20 µs of CPU: jorb to what the cores allow",
        needed: AtLeast(0.9),
        measured: |all| all.ratio("memory 20us", "cores"),
    },
    Goal {
        what: "memory, ready steps: jorb to itself with a rate that is never reached",
        needed: AtMost(1.111),
        measured: |all| all.ratio("limits", "limited"),
    },
    Goal {
        what: "memory, ready steps: jorb to itself with 100,000 keys",
        needed: AtMost(2.0),
        measured: |all| all.ratio("limits", "keyed"),
    },
    Goal {
        what: "durable: the same",
        needed: AtMost(2.0),
        measured: |all| all.ratio("limits, durable", "keyed"),
    },
    Goal {
        what: "rate at 1e7 jobs to that at 1e5",
        needed: AtLeast(0.7),
        measured: |all| all.more("scale", TEN_MILLION, "of_1e5"),
    },
    Goal {
        what: "peak MB with 1e7 jobs waiting",
        needed: AtMost(300.0),
        measured: |all| all.jorb("waiting", TEN_MILLION)?.peak_rss_mb,
    },
    Goal {
        what: "peak MB with 1e6 jobs waiting, more than with 1e3",
        needed: AtMost(50.0),
        measured: |all| {
            Some(all.jorb("waiting", MILLION)?.peak_rss_mb? - all.jorb("waiting", 1_000)?.peak_rss_mb?)
        },
    },
    Goal {
        what: "seconds to open 1e7 jobs and start a step",
        needed: AtMost(2.0),
        measured: |all| all.seconds("open"),
    },
    Goal {
        what: "the same with nothing of the file in memory",
        needed: AtMost(2.0),
        measured: |all| all.seconds("open, cold"),
    },
    Goal {
        what: "the same after a crash",
        needed: AtMost(2.0),
        measured: |all| all.seconds("open, after a crash"),
    },
    Goal {
        what: "seconds for `status` of 1e7 jobs",
        needed: AtMost(0.1),
        measured: |all| Some(all.seconds("status, cold")?.max(all.seconds("status, waiting, cold")?)),
    },
    Goal {
        what: "seconds for one of 1e7 jobs with its history",
        needed: AtMost(0.1),
        measured: |all| all.seconds("job, cold"),
    },
    Goal {
        what: "seconds for a page of many of 1e7 jobs: ended",
        needed: AtMost(1.0),
        measured: |all| all.seconds("page Done ended, cold"),
    },
    Goal {
        what: "the same: ready",
        needed: AtMost(1.0),
        measured: |all| all.seconds("page First ready, cold"),
    },
    Goal {
        what: "seconds for a page of few of 1e7 jobs: held",
        needed: AtMost(1.0),
        measured: |all| all.seconds("page Second held, cold"),
    },
    Goal {
        what: "seconds for a page of none of 1e7 jobs: ready",
        needed: AtMost(1.0),
        measured: |all| all.seconds("page First ready, none, cold"),
    },
    Goal {
        what: "run file of 1e6 finished jobs to the JSON of their contexts",
        needed: AtMost(3.0),
        measured: |all| all.more("scale", MILLION, "file_to_contexts"),
    },
];

const MILLION: u64 = 1_000_000;
const TEN_MILLION: u64 = 10 * MILLION;

/// All goals as a table; what was not measured is left out.
pub(super) fn markdown(entries: &[Entry]) -> String {
    let entries = Entries(entries);
    let row = |goal: &Goal| {
        let measured = (goal.measured)(&entries)?;
        let (needed, reached) = match goal.needed {
            AtLeast(least) => (format!("at least {least}"), measured >= least),
            AtMost(most) => (format!("at most {most}"), measured <= most),
        };
        let reached = if reached { "yes" } else { "no" };
        Some(vec![goal.what.into(), needed, decimals(Some(measured), 3), reached.into()])
    };
    aligned(
        &["goal", "needed", "measured", "reached"],
        |column| column == 2,
        GOALS.iter().filter_map(row).collect(),
    )
}

struct Entries<'e>(&'e [Entry]);

impl Entries<'_> {
    fn ratio(&self, case: &str, system: &str) -> Option<f64> {
        self.0.iter().find(|e| e.case == case && e.system == system)?.ratio
    }

    fn jorb(&self, case: &str, jobs: u64) -> Option<&Entry> {
        self.0.iter().find(|e| e.case == case && e.system == "jorb" && e.jobs == jobs)
    }

    fn more(&self, case: &str, jobs: u64, key: &str) -> Option<f64> {
        self.jorb(case, jobs)?.more.get(key).copied()
    }

    /// Of ten million jobs.
    fn seconds(&self, case: &str) -> Option<f64> {
        self.jorb(case, TEN_MILLION)?.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(case: &str, system: &str, jobs: u64, ratio: Option<f64>, peak: f64) -> Entry {
        let json = serde_json::json!({
            "case": case, "system": system, "jobs": jobs, "transitions_per_s": 1.0, "seconds": 1.0, "ratio": ratio,
            "peak_rss_mb": peak, "file_mb": null, "samples": [1.0], "machine": "",
        });
        serde_json::from_value(json).unwrap()
    }

    fn rows(entries: &[Entry]) -> Vec<Vec<String>> {
        let text = markdown(entries);
        let cells = |line: &str| {
            line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()[1..5].to_vec()
        };
        text.lines().skip(2).map(cells).collect()
    }

    #[test]
    fn the_fastest_peer_counts() {
        let entries = [
            entry("durable", "rusqlite", 100_000, Some(0.8), 1.0),
            entry("durable", "apalis", 1_000, Some(200.0), 1.0),
            entry("durable, three job types", "effectum", 1_000, Some(49.0), 1.0),
        ];
        let rows = rows(&entries);
        assert_eq!(rows[0][1..], ["at least 0.8", "0.800", "yes"]);
        assert_eq!(rows[1][1..], ["at least 50", "49.000", "no"]);
        assert_eq!(rows.len(), 2, "what was not measured is not said");
    }

    #[test]
    fn memory_is_compared_with_a_thousand_jobs() {
        let entries =
            [entry("waiting", "jorb", 1_000, None, 10.0), entry("waiting", "jorb", 1_000_000, None, 59.0)];
        assert_eq!(rows(&entries)[0][1..], ["at most 50", "49.000", "yes"]);
    }
}

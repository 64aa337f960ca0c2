//! What was measured, for programs and for people.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use serde::{Deserialize, Serialize};

use super::goals;

/// One line of the result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) case: String,
    pub(super) system: String,
    pub(super) jobs: u64,
    /// The median.
    pub(super) transitions_per_s: Option<f64>,
    /// How long it took: the median.
    pub(super) seconds: Option<f64>,
    /// How many times as fast jorb is: the median of the ratios round by round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ratio: Option<f64>,
    pub(super) peak_rss_mb: Option<f64>,
    pub(super) file_mb: Option<f64>,
    /// Transitions per second, or seconds where nothing moves, in the order in which they were measured.
    pub(super) samples: Vec<f64>,
    /// Why there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    pub(super) machine: String,
    /// Other figures.
    #[serde(flatten)]
    pub(super) more: BTreeMap<String, f64>,
}

const HEAD: [&str; 11] = [
    "case",
    "system",
    "jobs",
    "transitions/s",
    "seconds",
    "least",
    "most",
    "jorb : it",
    "peak MB",
    "file MB",
    "more",
];

/// A page of all that was measured, each part with its name.
pub(super) fn page(parts: &[(String, Vec<Entry>)]) -> String {
    let mut text = String::from(
        "# Results\n\nMeasured, not written by hand: `compare table FILE..` makes this page of what \
         `compare .. --json FILE` wrote.\n[README.md](README.md) says what the systems and the columns are.\n",
    );
    let machines: BTreeSet<&str> = parts.iter().flat_map(|(_, part)| part).map(|e| &*e.machine).collect();
    for machine in machines {
        let _ = write!(text, "\nThe machine: {machine}.\n");
    }
    let all: Vec<Entry> = parts.iter().flat_map(|(_, part)| part).cloned().collect();
    let _ = write!(text, "\n## goals\n\n{}", goals::markdown(&all));
    for (name, part) in parts {
        let _ = write!(text, "\n## {name}\n\n{}", markdown(part));
    }
    text
}

/// A table that can be read as it is.
pub(super) fn markdown(entries: &[Entry]) -> String {
    let rows = entries.iter().map(row).map(Vec::from).collect();
    aligned(&HEAD, |column| (2..HEAD.len() - 1).contains(&column), rows)
}

/// Cells of the same width. Columns of numbers are read from the right.
pub(super) fn aligned(
    head: &[&str],
    is_number: impl Fn(usize) -> bool,
    mut rows: Vec<Vec<String>>,
) -> String {
    rows.insert(0, head.iter().map(ToString::to_string).collect());
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let rule = widths.iter().enumerate().map(|(i, width)| match "-".repeat(width - 1) {
        dashes if is_number(i) => dashes + ":",
        dashes => dashes + "-",
    });
    let rule = rule.collect();
    rows.insert(1, rule);
    let mut text = String::new();
    for row in &rows {
        for (i, cell) in row.iter().enumerate() {
            let width = widths[i];
            let _ = if is_number(i) {
                write!(text, "| {cell:>width$} ")
            } else {
                write!(text, "| {cell:width$} ")
            };
        }
        text.push_str("|\n");
    }
    text
}

fn row(entry: &Entry) -> [String; 11] {
    let Entry {
        case, system, jobs, transitions_per_s, seconds, ratio, peak_rss_mb, file_mb, samples, ..
    } = entry;
    let figure = |number: Option<f64>| match transitions_per_s {
        Some(_) => whole(number),
        None => decimals(number, 4),
    };
    let bound = |of: fn(f64, f64) -> f64| figure(samples.iter().copied().reduce(of));
    let more = entry.more.iter().map(|(key, value)| format!("{key} {}", short(*value)));
    let more: Vec<String> = more.chain(entry.error.iter().map(|e| format!("failed: {e}"))).collect();
    [
        case.clone(),
        system.clone(),
        thousands(jobs.to_string()),
        whole(*transitions_per_s),
        decimals(*seconds, 4),
        bound(f64::min),
        bound(f64::max),
        decimals(*ratio, 2),
        decimals(*peak_rss_mb, 1),
        decimals(*file_mb, 1),
        more.join(", "),
    ]
}

pub(super) fn decimals(number: Option<f64>, digits: usize) -> String {
    number.map_or(String::new(), |number| format!("{number:.digits$}"))
}

/// With no more digits than say something.
fn short(number: f64) -> String {
    if number.abs() < 100.0 && number.fract() != 0.0 { format!("{number:.3}") } else { whole(Some(number)) }
}

fn whole(number: Option<f64>) -> String {
    number.map_or(String::new(), |number| thousands(format!("{number:.0}")))
}

/// `1234567` as `1,234,567`.
fn thousands(digits: String) -> String {
    let mut text = digits;
    for i in (1..text.len()).rev().skip(2).step_by(3) {
        text.insert(i, ',');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        let all = ["1", "12", "123", "1234", "123456", "1234567"].map(|digits| thousands(digits.into()));
        assert_eq!(all, ["1", "12", "123", "1,234", "123,456", "1,234,567"]);
    }

    #[test]
    fn an_entry_is_what_the_json_says_and_one_row() {
        let json = r#"{"case":"durable","system":"apalis","jobs":1000,"transitions_per_s":700.4,"seconds":4.3,"ratio":350.0,
            "peak_rss_mb":20.0,"file_mb":null,"samples":[650.0,700.4,710.0],"machine":"two cores","share":0.5}"#;
        let entry: Entry = serde_json::from_str(json).unwrap();
        let text = markdown(std::slice::from_ref(&entry));
        let row = text.lines().last().unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(
            cells[1..12],
            [
                "durable",
                "apalis",
                "1,000",
                "700",
                "4.3000",
                "650",
                "710",
                "350.00",
                "20.0",
                "",
                "share 0.500"
            ]
        );
        let again: Entry = serde_json::from_str(&serde_json::to_string(&entry).unwrap()).unwrap();
        assert_eq!(markdown(&[again]), text);
    }

    #[test]
    fn what_failed_says_so() {
        let json = r#"{"case":"durable","system":"durare","jobs":10,"transitions_per_s":null,"seconds":null,"peak_rss_mb":null,
            "file_mb":null,"samples":[],"error":"does not build","machine":""}"#;
        let entry: Entry = serde_json::from_str(json).unwrap();
        assert!(markdown(&[entry]).contains("| failed: does not build |"));
    }
}

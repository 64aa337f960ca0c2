//! What is on the screen, line by line.
use std::{fmt::Write, time::Duration};

use super::{
    meter::{Meter, all, ended, to_do},
    short,
};
use crate::{Ending, Overview, StateOverview};

/// Names are cut to this if there is no room for more.
const NAME: usize = 12;
/// Bars are between these wide, or left out.
const BAR: std::ops::RangeInclusive<usize> = 5..=30;
/// Every column but the name and the bar.
const COLUMNS: [&str; 9] =
    ["waiting", "running", "delayed", "joining", "done", "/s", "left", "errors", "parked"];
/// Width of each.
const WIDTHS: [usize; 9] = [7, 7, 7, 7, 7, 6, 6, 6, 6];
/// Those that go first where there is no room.
const SPARE: [&str; 9] =
    ["joining", "delayed", "left", "/s", "running", "errors", "waiting", "parked", "done"];

const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// The table, in so many columns and rows.
pub(super) fn lines(
    overview: &Overview,
    meter: &Meter,
    elapsed: Duration,
    (width, height): (usize, usize),
    colours: bool,
) -> Vec<String> {
    // The last column is left free: some terminals begin a new line once it is filled.
    let layout = Layout::new(overview, width.saturating_sub(1), colours);
    let mut lines = vec![layout.head()];
    // The heading, the line of the whole run, and the cursor below it need a row each.
    let room = height.saturating_sub(3);
    let mut states: Vec<usize> = (0..overview.states.len()).collect();
    if states.len() > room {
        states.retain(|&i| is_busy(&overview.states[i]));
        states.truncate(room);
    }
    lines.extend(states.into_iter().map(|i| layout.state(i, &overview.states[i], meter)));
    lines.push(layout.run(overview, meter, elapsed));
    lines
}

/// After a stop: those in flight.
pub(super) fn steps_to_wait_for(overview: &Overview) -> Option<u64> {
    let stopped = overview.ending.is_some_and(|ending| ending != Ending::Complete);
    Some(overview.sum(|s| s.executing)).filter(|n| stopped && *n > 0)
}

fn is_busy(state: &StateOverview) -> bool {
    to_do(state) + state.joining + state.parked + state.errors > 0 || state.held
}

struct Layout {
    width: usize,
    name: usize,
    bar: Option<usize>,
    columns: Vec<usize>,
    colours: bool,
}

impl Layout {
    fn new(overview: &Overview, width: usize, colours: bool) -> Self {
        let longest = overview.states.iter().map(|s| s.name.chars().count()).max().unwrap_or(0);
        let mut columns: Vec<usize> = (0..COLUMNS.len()).collect();
        // Most runs have no joins.
        if overview.sum(|s| s.joining) == 0 {
            columns.retain(|&c| COLUMNS[c] != "joining");
        }
        let taken = |columns: &[usize]| columns.iter().map(|&c| WIDTHS[c] + 1).sum::<usize>();
        for spare in SPARE {
            if taken(&columns) + longest.min(NAME) > width {
                columns.retain(|&c| COLUMNS[c] != spare);
            }
        }
        let room = width.saturating_sub(taken(&columns));
        // A bar has a blank before it.
        let name = longest.min(room).min(NAME.max(room.saturating_sub(*BAR.start() + 1)));
        let bar = Some(room.saturating_sub(name + 1).min(*BAR.end())).filter(|bar| BAR.contains(bar));
        Layout { width, name, bar, columns, colours }
    }

    fn head(&self) -> String {
        let mut head = format!("{:1$}", "", self.name + self.bar.map_or(0, |bar| bar + 1));
        for &column in &self.columns {
            let _ = write!(head, " {:>1$}", COLUMNS[column], WIDTHS[column]);
        }
        self.paint(DIM, &cut(&head, self.width))
    }

    fn state(&self, i: usize, state: &StateOverview, meter: &Meter) -> String {
        let mut line = format!("{:1$}", cut(state.name, self.name), self.name);
        if let Some(bar) = self.bar {
            line.push(' ');
            line.push_str(&self.bar(state, bar));
        }
        let idle = to_do(state) == 0;
        for &column in &self.columns {
            let some = |n: u64| if n == 0 { String::new() } else { short::number(n) };
            let (text, colour) = match COLUMNS[column] {
                "waiting" => (some(state.waiting), None),
                "running" => (some(state.executing), None),
                "delayed" => (some(state.delayed), None),
                "joining" => (some(state.joining), None),
                "done" => (some(state.completed), None),
                "/s" => (short::rate(meter.rate(i)), None),
                "left" if state.held => ("held".into(), Some(CYAN)),
                "left" if idle => (String::new(), None),
                "left" => (meter.left_in(i, state).map_or(String::new(), short::time), None),
                "errors" => (some(state.errors), Some(YELLOW)),
                _ => (some(state.parked), Some(RED)),
            };
            let text = format!(" {text:>0$}", WIDTHS[column]);
            line.push_str(&colour.map_or(text.clone(), |colour| self.paint(colour, &text)));
        }
        line
    }

    /// How much of what came to a state is done, and how much of it failed.
    fn bar(&self, state: &StateOverview, width: usize) -> String {
        let all = to_do(state) + state.completed + state.parked;
        if state.terminal || all == 0 {
            return " ".repeat(width);
        }
        let part = |n: u64| {
            let cells = usize::try_from(u128::from(n) * width as u128 / u128::from(all)).unwrap_or(width);
            // What there is can be seen.
            cells.max(usize::from(n > 0)).min(width)
        };
        let parked = part(state.parked);
        let done = part(state.completed).min(width - parked);
        let rest = width - parked - done;
        [(GREEN, "━", done), (RED, if self.colours { "━" } else { "x" }, parked), (DIM, "─", rest)]
            .map(|(colour, cell, n)| self.paint(colour, &cell.repeat(n)))
            .concat()
    }

    /// The line of the whole run.
    fn run(&self, overview: &Overview, meter: &Meter, elapsed: Duration) -> String {
        let (ended, all) = (ended(overview), all(overview));
        let mut parts = vec![(format!("{} of {} ended", short::long(ended), short::long(all)), None)];
        if let Some(n) = steps_to_wait_for(overview) {
            // As the processor does on Ctrl-C.
            parts.push((format!("stopping, {n} running (Ctrl-C again drops them)"), Some(YELLOW)));
        }
        if overview.suspects > 0 {
            parts.push((format!("{} to run alone", short::number(overview.suspects)), Some(YELLOW)));
        }
        if let Some(percent) = (ended * 100).checked_div(all) {
            parts.push((format!("{percent} %"), None));
        }
        let steps = short::rate(meter.steps(overview));
        parts.push((format!("{} steps/s", if steps.is_empty() { "0" } else { &steps }), None));
        parts.push((format!("{} elapsed", short::time(elapsed)), None));
        if let Some(left) = meter.left(overview).filter(|left| !left.is_zero()) {
            parts.push((format!("{} left", short::time(left)), None));
        }
        let some = [
            (overview.sum(|s| s.parked), "parked", RED),
            (overview.sum(|s| s.cancelled), "cancelled", CYAN),
            (overview.sum(|s| s.errors), "errors", YELLOW),
            (overview.throttles, "throttled", YELLOW),
        ];
        let some = some.into_iter().filter(|(n, ..)| *n > 0);
        parts.extend(some.map(|(n, what, colour)| (format!("{} {what}", short::number(n)), Some(colour))));
        let mut line = String::new();
        let mut room = self.width;
        for (part, colour) in parts {
            let blank = if line.is_empty() { 0 } else { 2 };
            // A part for which there is no room is left out; the first one is cut.
            let part = if line.is_empty() { cut(&part, room) } else { part };
            let Some(rest) = room.checked_sub(blank + part.chars().count()) else { continue };
            room = rest;
            line.push_str(&" ".repeat(blank));
            line.push_str(&colour.map_or(part.clone(), |colour| self.paint(colour, &part)));
        }
        line
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours && !text.trim().is_empty() {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.into()
        }
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain((width > 0).then_some('…')).collect()
}

#[cfg(test)]
pub(super) mod tests;

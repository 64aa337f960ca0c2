//! One line now and then, for logs.
use std::time::Duration;

use super::{
    meter::{Meter, all, ended},
    short,
};
use crate::Overview;

/// When the first line is written.
pub(super) const FIRST: Duration = Duration::from_millis(500);

/// Time between two lines: a few seconds, and somewhat longer in a run that takes long.
pub(super) fn interval(elapsed: Duration) -> Duration {
    (elapsed / 20).clamp(Duration::from_secs(3), Duration::from_secs(10))
}

pub(super) fn line(overview: &Overview, meter: &Meter, elapsed: Duration) -> String {
    let (ended, all) = (ended(overview), all(overview));
    let mut line = format!("{} of {} jobs ended", short::long(ended), short::long(all));
    let mut say = |n: u64, what: &str| {
        if n > 0 {
            line.push_str(&format!(", {} {what}", short::long(n)));
        }
    };
    say(overview.sum(|s| s.executing), "running");
    say(overview.sum(|s| if s.held { 0 } else { s.waiting }), "waiting");
    say(overview.sum(|s| if s.held { s.waiting } else { 0 }), "held");
    say(overview.sum(|s| s.delayed), "delayed");
    say(overview.sum(|s| s.parked), "parked");
    say(overview.sum(|s| s.errors), "errors");
    say(overview.throttles, "throttled");
    let steps = short::rate(meter.steps(overview));
    if !steps.is_empty() {
        line.push_str(&format!(", {steps} steps/s"));
    }
    line.push_str(&format!(", {} elapsed", short::time(elapsed)));
    if let Some(left) = meter.left(overview).filter(|left| !left.is_zero()) {
        line.push_str(&format!(", {} left", short::time(left)));
    }
    line
}

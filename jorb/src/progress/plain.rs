//! One line now and then, for logs.
use std::time::Duration;

use super::{
    meter::{Meter, all, ended},
    short,
    table::steps_to_wait_for,
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
    let mut parts = vec![format!("{} of {} jobs ended", short::long(ended), short::long(all))];
    let counts = [
        (overview.sum(|s| s.executing), "running"),
        (overview.sum(|s| if s.held { 0 } else { s.waiting }), "waiting"),
        (overview.sum(|s| if s.held { s.waiting } else { 0 }), "held"),
        (overview.sum(|s| s.delayed), "delayed"),
        (overview.sum(|s| s.joining), "joining"),
        (overview.suspects, "to run alone"),
        (overview.sum(|s| s.parked), "parked"),
        (overview.sum(|s| s.cancelled), "cancelled"),
        (overview.sum(|s| s.errors), "errors"),
        (overview.throttles, "throttled"),
    ];
    let some = counts.into_iter().filter(|(n, _)| *n > 0);
    parts.extend(some.map(|(n, what)| format!("{} {what}", short::long(n))));
    let steps = short::rate(meter.steps(overview));
    if !steps.is_empty() {
        parts.push(format!("{steps} steps/s"));
    }
    parts.push(format!("{} elapsed", short::time(elapsed)));
    if let Some(left) = meter.left(overview).filter(|left| !left.is_zero()) {
        parts.push(format!("{} left", short::time(left)));
    }
    if steps_to_wait_for(overview).is_some() {
        parts.insert(0, "stopping".into());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::table::tests::overview;

    #[test]
    fn a_line_says_what_there_is_and_nothing_else() {
        let mut run = overview(3);
        (run.states[0].waiting, run.states[0].held, run.states[2].completed) = (2, true, 1_000);
        (run.states[1].parked, run.states[1].cancelled) = (1, 4);
        run.suspects = 2;
        let line = line(&run, &Meter::new(), Duration::from_secs(61));
        assert_eq!(
            line,
            "1,000 of 1,007 jobs ended, 2 held, 2 to run alone, 1 parked, 4 cancelled, 1:01 elapsed"
        );
    }
}

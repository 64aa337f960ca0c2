//! The table on a terminal.
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::{meter::Meter, table};
use crate::Overview;

/// A terminal, or what a test takes for one.
pub(super) struct Screen {
    term: Box<dyn Fn() -> (u16, u16) + Send>,
    bar: ProgressBar,
    colours: bool,
}

impl Screen {
    pub(super) fn on(term: impl TermLike + Clone + 'static, colours: bool) -> Self {
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 20);
        let bar = ProgressBar::with_draw_target(None, target);
        // One bar that is the whole table: it is drawn in one go, so nothing flickers.
        bar.set_style(ProgressStyle::with_template("{msg}").expect("it is a template"));
        Screen { term: Box::new(move || (term.width(), term.height())), bar, colours }
    }

    pub(super) fn draw(&self, overview: &Overview, meter: &Meter, elapsed: Duration, last: bool) {
        let (width, height) = (self.term)();
        let lines = table::lines(overview, meter, elapsed, (width.into(), height.into()), self.colours);
        let table = lines.join("\n");
        if last {
            self.bar.abandon_with_message(table);
        } else {
            self.bar.set_message(table);
        }
    }
}

//! Progress on a terminal.
use std::{
    fmt,
    io::{IsTerminal, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use console::Term;

use self::{meter::Meter, screen::Screen};
use crate::{Listener, Overview};

mod meter;
mod plain;
mod screen;
mod short;
mod table;

/// Bars are drawn again at most this often, ..
const REDRAW: Duration = Duration::from_millis(200);
/// .. and at least this often: time goes on also when nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// Shows how a run goes on standard error: a table with one line per state, or, when that is no terminal, one plain
/// line every few seconds.
///
/// ```
/// # use jorb::prelude::*;
/// # #[workflow] #[derive(Debug, Clone)] enum Crawl {
/// #     #[state(initial, next(Done))] Fetch,
/// #     #[state(terminal)] Done,
/// # }
/// # #[state] async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> { Ok(Next::to(crawl::Done)) }
/// let processor = jorb::Processor::<Crawl>::new(()).listener(jorb::Progress::stderr());
/// # drop(processor);
/// ```
pub struct Progress {
    board: Arc<Board>,
    painter: Option<JoinHandle<()>>,
    target: fn() -> Target,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

/// What the listener leaves for the painter.
#[derive(Default)]
struct Board {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Default)]
struct Now {
    overview: Option<Overview>,
    fresh: bool,
    ended: bool,
}

/// Where it is shown.
enum Target {
    Screen(Screen),
    Lines(Box<dyn Write + Send>),
}

impl Progress {
    /// On standard error. Colours are left out when `NO_COLOR` is set.
    #[must_use]
    pub fn stderr() -> Self {
        let target = || {
            let stderr = std::io::stderr();
            if stderr.is_terminal() {
                let size = || Term::stderr().size();
                Target::Screen(Screen::on(stderr, size, console::colors_enabled_stderr()))
            } else {
                Target::Lines(Box::new(stderr))
            }
        };
        Progress { board: Arc::default(), painter: None, target }
    }

    fn end(&mut self) {
        let Some(painter) = self.painter.take() else { return };
        self.board.lock().ended = true;
        self.board.changed.notify_one();
        // It has printed its last line, or it has panicked and said so.
        let _ = painter.join();
    }
}

impl Listener for Progress {
    fn overview(&mut self, overview: &Overview) {
        let mut now = self.board.lock();
        now.overview = Some(overview.clone());
        now.fresh = true;
        if self.painter.is_none() {
            now.ended = false;
            let (board, target) = (self.board.clone(), self.target);
            let paint = move || board.paint(target());
            // Without a thread there is no progress to see, and no harm done.
            self.painter = std::thread::Builder::new().name("jorb-progress".into()).spawn(paint).ok();
        }
        self.board.changed.notify_one();
    }

    fn ended(&mut self) {
        self.end();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what there is until the end.
    fn paint(&self, mut target: Target) {
        let mut meter = Meter::new();
        let started = Instant::now();
        let mut next_line = plain::FIRST;
        let mut drawn = None;
        loop {
            let (overview, ended) = self.next(drawn);
            let elapsed = started.elapsed();
            meter.update(elapsed, &overview);
            match &mut target {
                Target::Screen(screen) => screen.draw(&overview, &meter, elapsed),
                Target::Lines(out) if ended || elapsed >= next_line => {
                    next_line = elapsed + plain::interval(elapsed);
                    // Nobody is to be told when nobody listens.
                    let _ = writeln!(out, "{}", plain::line(&overview, &meter, elapsed));
                }
                Target::Lines(_) => {}
            }
            if ended {
                return;
            }
            drawn = Some(Instant::now());
        }
    }

    /// Waits until it is time to draw.
    fn next(&self, drawn: Option<Instant>) -> (Overview, bool) {
        let mut now = self.lock();
        loop {
            let since = drawn.map_or(IDLE, |at| at.elapsed());
            if let Some(overview) = &now.overview
                && (now.ended || since >= IDLE || now.fresh && since >= REDRAW)
            {
                let (overview, ended) = (overview.clone(), now.ended);
                now.fresh = false;
                return (overview, ended);
            }
            let wait = if now.fresh { REDRAW } else { IDLE };
            let wait = wait.saturating_sub(since).max(Duration::from_millis(1));
            now = self.changed.wait_timeout(now, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

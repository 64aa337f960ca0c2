//! What handlers in tests write down: the independent account of what ran.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jorb::{Cx, JobId, Workflow};
use tokio::time::Instant;

/// The app of test workflows: every step signs in and out.
#[derive(Default, Clone)]
pub struct Lab {
    book: Arc<Mutex<Book>>,
}

/// What was written down.
#[derive(Default, Clone)]
pub struct Book {
    /// Steps in the order in which they began.
    pub steps: Vec<Step>,
    /// Steps in flight by state.
    pub inside: BTreeMap<&'static str, usize>,
    /// Most steps in flight at once by state.
    pub most: BTreeMap<&'static str, usize>,
}

/// One step of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub job: JobId,
    pub state: &'static str,
    pub attempt: u32,
    pub key: String,
    pub began: Instant,
}

/// A step in flight; signs out when it is dropped, however that comes.
pub struct Inside {
    lab: Lab,
    state: &'static str,
}

impl Lab {
    /// A step begins.
    pub fn enter<W: Workflow>(&self, state: &'static str, cx: &Cx<W>) -> Inside {
        let mut book = self.lock();
        let (job, attempt, key) = (cx.id(), cx.attempt(), cx.key());
        book.steps.push(Step { job, state, attempt, key, began: Instant::now() });
        let inside = book.inside.entry(state).or_default();
        *inside += 1;
        let now = *inside;
        let most = book.most.entry(state).or_default();
        *most = now.max(*most);
        drop(book);
        Inside { lab: self.clone(), state }
    }

    /// All that was written down.
    pub fn book(&self) -> Book {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// The jobs that ran in `state`, in order.
    pub fn jobs(&self, state: &str) -> Vec<u64> {
        self.steps.iter().filter(|s| s.state == state).map(|s| s.job.0).collect()
    }

    /// The attempts made in `state`, in order.
    pub fn attempts(&self, state: &str) -> Vec<u32> {
        self.steps.iter().filter(|s| s.state == state).map(|s| s.attempt).collect()
    }

    /// When steps of `state` began.
    pub fn starts(&self, state: &str) -> Vec<Instant> {
        self.steps.iter().filter(|s| s.state == state).map(|s| s.began).collect()
    }

    /// Panics when a window of length T saw more than `burst` + T / `interval` starts.
    pub fn check_rate(&self, state: &str, burst: usize, interval: Duration) {
        check_rate(&self.starts(state), burst, interval, Duration::ZERO);
    }
}

/// Panics when a window of length T saw more than `burst` + (T + `late`) / `interval` starts: on a real clock, a step
/// starts a little after it was allowed to.
pub fn check_rate(starts: &[Instant], burst: usize, interval: Duration, late: Duration) {
    for (i, first) in starts.iter().enumerate() {
        for (n, last) in starts[i..].iter().enumerate() {
            let window = (last.duration_since(*first) + late).as_nanos();
            let allowed = burst as u128 + window / interval.as_nanos();
            assert!((n as u128) < allowed, "{} starts within {window} ns, from start {i} on", n + 1);
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut book = self.lab.lock();
        *book.inside.get_mut(self.state).expect("it was entered") -= 1;
    }
}

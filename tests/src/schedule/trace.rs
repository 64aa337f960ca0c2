//! What happened.
use std::sync::{Arc, Mutex, PoisonError};

/// All that happened in a schedule, in order.
#[derive(Clone, Default)]
pub struct Trace {
    lines: Arc<Mutex<Vec<String>>>,
    aloud: bool,
}

impl Trace {
    /// Nothing yet. What happens is printed too, if `aloud`.
    pub(super) fn new(aloud: bool) -> Self {
        Trace { lines: Arc::default(), aloud }
    }

    pub(super) fn add(&self, line: String) {
        if self.aloud {
            println!("{line}");
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// What happened so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

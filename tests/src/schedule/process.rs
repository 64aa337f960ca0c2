//! A process of a schedule, and what it tells.
use jorb::{Error, Event, Handle, Listener, Overview, Summary};
use tokio::task::JoinHandle;

use super::Disk;
use crate::{audit::Audit, walk::Walk};

/// A process that drives the run.
pub(super) struct Process {
    pub(super) task: JoinHandle<Result<Summary, Error>>,
    pub(super) handle: Handle<Walk>,
    pub(super) disk: Disk,
    /// It has read what it must to begin.
    pub(super) opened: bool,
    /// Somebody has stopped it, or its disk has failed: nothing starts any more.
    pub(super) stopped: bool,
}

impl Drop for Process {
    /// Its threads must not wait for ever when a test fails.
    fn drop(&mut self) {
        self.disk.gives_up();
    }
}

/// Checks what listeners are told.
pub(super) struct Told(pub(super) Audit, pub(super) Disk);

impl Listener for Told {
    fn wants_events(&self) -> bool {
        true
    }

    fn event(&mut self, event: &Event) {
        self.0.lock().check_event(event);
    }

    fn overview(&mut self, overview: &Overview) {
        // What a disk did that said that it failed, nobody has heard of.
        let mut account = self.0.lock();
        if !self.1.has_failed() && !account.may_not_have_heard() {
            account.check_overview(overview);
        }
    }
}

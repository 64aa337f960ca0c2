//! Bringing what was committed from the log into the file.
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, ffi};

use super::{fail::Fail, open::connect};

/// From this size on of the log, a thread brings it into the file while commits go on.
const BEGIN: u64 = 16 << 20;
/// At this size commits wait until the log is empty: the thread cannot win against a writer that never rests.
const MOST: u64 = 256 << 20;

/// Makes checkpoints of a run that is driven.
pub(super) struct Checkpoints {
    log: PathBuf,
    /// [`MOST`].
    limit: u64,
    /// The size at which to wait next: more than the limit while a reader keeps the log from being emptied.
    most: u64,
    /// Held while the thread is at it.
    busy: Arc<Mutex<()>>,
    begin: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub(super) fn start(path: &Path) -> Result<Self, Fail> {
        let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        let busy = Arc::new(Mutex::new(()));
        let (begin, calls) = sync_channel(1);
        let work = {
            let busy = busy.clone();
            move || {
                for () in calls {
                    let _busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
                    warn(checkpoint(&conn, "PASSIVE"));
                }
            }
        };
        let thread = std::thread::Builder::new().name("jorb-checkpoint".into()).spawn(work);
        let thread = thread.map_err(crate::Error::disk(path, "start a thread"))?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Ok(Checkpoints {
            log: log.into(),
            limit: MOST,
            most: MOST,
            busy,
            begin: Some(begin),
            thread: Some(thread),
        })
    }

    #[cfg(test)]
    pub(super) fn limit(&mut self, limit: u64) {
        (self.limit, self.most) = (limit, limit);
    }

    /// To be called between commits.
    pub(super) fn after_commit(&mut self, conn: &Connection) {
        let Ok(log) = std::fs::metadata(&self.log) else { return };
        if log.len() >= self.most {
            let _idle = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            warn(conn.busy_timeout(Duration::ZERO).map_err(Fail::from));
            let emptied = warn(checkpoint(conn, "TRUNCATE"));
            warn(conn.busy_timeout(super::open::PATIENCE).map_err(Fail::from));
            self.most = if emptied == Some(true) { self.limit } else { log.len() + self.limit };
        } else if log.len() >= BEGIN {
            // When it is at it already, the next commit will call again.
            let _ = self.begin.as_ref().map(|begin| begin.try_send(()));
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Leaves one file that can be copied, and read where nothing can be written. A process that looks at the run just
/// now may keep the log from being removed; it is empty then.
pub(super) fn fold(conn: Connection) -> Result<(), rusqlite::Error> {
    conn.busy_timeout(Duration::from_secs(1))?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    conn.busy_timeout(Duration::ZERO)?;
    match conn.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())) {
        Err(e) if e.sqlite_error().is_some_and(|e| e.extended_code & 0xff == ffi::SQLITE_BUSY) => {}
        other => other?,
    }
    conn.close().map_err(|(_, e)| e)
}

/// True when all of the log is in the file, and the log is empty if that was asked for.
fn checkpoint(conn: &Connection, how: &str) -> Result<bool, Fail> {
    let busy: i64 = conn.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| row.get(0))?;
    Ok(busy == 0)
}

/// What was committed is safe all the same.
fn warn<T>(done: Result<T, Fail>) -> Option<T> {
    match done {
        Ok(done) => Some(done),
        Err(Fail::Sqlite(e)) => {
            tracing::warn!("checkpoint: {e}");
            None
        }
        Err(_) => None,
    }
}

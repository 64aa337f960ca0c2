//! Bringing what was committed from the log into the file.
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Row, ffi};

use super::{fail::Fail, open::connect};

/// From this size on of the log, a thread brings it into the file while commits go on. What they have added by then is
/// little and brought in between two commits, so that the next one begins the log anew, in the same place: a log that
/// grows, or is cut and grows again, costs the system a tenth more, for its new pages.
const BEGIN: u64 = 16 << 20;
/// At this size commits wait until the log is empty: somebody who reads has kept it from being begun anew.
const MOST: u64 = 256 << 20;
/// A page and its header in the log.
const FRAME: u64 = 4096 + 24;

/// Makes checkpoints of a run that is driven.
pub(super) struct Checkpoints {
    log: PathBuf,
    /// [`MOST`].
    limit: u64,
    /// The size at which to wait next: more than the limit while a reader keeps the log from being emptied.
    most: u64,
    /// Held while the thread is at it.
    busy: Arc<Mutex<()>>,
    /// The thread was called and has not ended its work.
    called: Arc<AtomicBool>,
    begin: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub(super) fn start(path: &Path) -> Result<Self, Fail> {
        let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        let busy = Arc::new(Mutex::new(()));
        let called = Arc::new(AtomicBool::new(false));
        let (begin, calls) = sync_channel(1);
        let work = {
            let (busy, called) = (busy.clone(), called.clone());
            move || {
                for () in calls {
                    let _busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
                    warn(checkpoint(&conn, "PASSIVE"));
                    called.store(false, Release);
                }
            }
        };
        let thread = std::thread::Builder::new().name("jorb-checkpoint".into()).spawn(work);
        let thread = thread.map_err(crate::Error::disk(path, "start a thread"))?;
        Ok(Checkpoints {
            log: log_of(path),
            limit: MOST,
            most: MOST,
            busy,
            called,
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
            self.cut(conn, log.len());
        } else if log.len() >= self.limit / (MOST / BEGIN) {
            self.begin_anew(conn, log.len());
        }
    }

    /// Brings the log into the file when enough is in it.
    fn begin_anew(&mut self, conn: &Connection, bytes: u64) {
        let Some(Log { frames, done, .. }) = warn(checkpoint(conn, "NOOP")) else { return };
        let begin = self.limit / (MOST / BEGIN) / FRAME;
        if frames < begin || self.called.load(Acquire) {
            return;
        }
        if bytes >= self.limit && frames * FRAME < self.limit {
            // Somebody who read has made it long, and it was begun anew since then.
            self.cut(conn, bytes);
        } else if frames - done > begin / 2 {
            self.called.store(true, Release);
            // If that cannot be sent, the thread has ended.
            let _ = self.begin.as_ref().map(|begin| begin.try_send(()));
        } else {
            warn(checkpoint(conn, "PASSIVE"));
        }
    }

    /// Empties the log of so many bytes, and gives its space back, unless somebody reads.
    fn cut(&mut self, conn: &Connection, bytes: u64) {
        let _idle = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        warn(conn.busy_timeout(Duration::ZERO).map_err(Fail::from));
        let log = warn(checkpoint(conn, "TRUNCATE"));
        warn(conn.busy_timeout(super::open::PATIENCE).map_err(Fail::from));
        let emptied = log.is_some_and(|log| !log.busy);
        self.most = if emptied { self.limit } else { bytes + self.limit };
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

/// The log after a checkpoint.
pub(super) struct Log {
    /// Somebody kept it from being brought in as far as was asked for.
    busy: bool,
    /// Pages in it.
    pub(super) frames: u64,
    /// How many of them are in the file.
    pub(super) done: u64,
}

/// Where the log of the run at `path` is.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

pub(super) fn checkpoint(conn: &Connection, how: &str) -> Result<Log, Fail> {
    let log = |row: &Row<'_>| {
        let count = |n: i64| u64::try_from(n).unwrap_or(0); // -1 without a log
        Ok(Log { busy: row.get(0)?, frames: count(row.get(1)?), done: count(row.get(2)?) })
    };
    Ok(conn.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], log)?)
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

//! A run that is there is driven on.
use std::{
    path::{Path, PathBuf},
    process::exit,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jorb::{Processor, Run, SqliteStore};
use tokio::sync::Notify;

use super::{
    super::{
        Failed,
        sample::{Cache, Outcome, say},
        work::{App, Step, Three},
    },
    chill, runtime,
};

/// Steps after which [`die`] does.
const STEPS: u64 = 5_000;

/// From before opening to when the first step starts; then the run is stopped and closed.
pub(in crate::compare) fn open(cache: Cache, dir: &Path) -> Result<Outcome, Failed> {
    let file = file(dir);
    chill(cache, dir)?;
    let runtime = runtime()?;
    let (first, entered) = (Arc::new(OnceLock::new()), Arc::new(Notify::new()));
    let on_first = {
        let (first, entered) = (first.clone(), entered.clone());
        move || {
            first.get_or_init(|| {
                entered.notify_one();
                Instant::now()
            });
        }
    };
    let app = App { step: Step::Ready, on_first: Some(Box::new(on_first)) };

    let start = Instant::now();
    let mut run = Run::<Three>::open(SqliteStore::at(file))?;
    let opened = start.elapsed();
    let mut processor = Processor::new(app);
    let handle = processor.handle();
    let _ = runtime.block_on(async {
        let stop = async {
            entered.notified().await;
            handle.stop();
        };
        tokio::join!(processor.exec(&mut run), stop).0
    })?;
    let first = first.get().ok_or("no step started")?;
    let mut outcome = Outcome::of(first.duration_since(start));
    outcome.more.insert("open_seconds".into(), opened.as_secs_f64());
    Ok(outcome)
}

/// Ends the process while steps run and commits are under way: for the file, that is what a SIGKILL is.
pub(in crate::compare) fn die(dir: &Path) -> Result<Outcome, Failed> {
    let steps = AtomicU64::new(0);
    let on_first = move || {
        if steps.fetch_add(1, Ordering::Relaxed) == STEPS {
            let said = say(Outcome::of(Duration::ZERO));
            exit(i32::from(said.is_err()));
        }
    };
    let mut run = Run::<Three>::open(SqliteStore::at(file(dir)))?;
    let app = App { step: Step::Ready, on_first: Some(Box::new(on_first)) };
    let _ = runtime()?.block_on(Processor::new(app).exec(&mut run))?;
    Err(format!("the run ended before {STEPS} steps").into())
}

fn file(dir: &Path) -> PathBuf {
    dir.join("run.jorb")
}

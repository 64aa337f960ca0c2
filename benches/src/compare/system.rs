//! Those that do the work.
use std::{
    fs::{self, File},
    path::Path,
};

use tokio::runtime::Runtime;

use super::{Failed, sample::Cache, work::Page};

pub(super) mod ask;
pub(super) mod chain;
pub(super) mod cores;
pub(super) mod fairness;
pub(super) mod jorb;
pub(super) mod keyed;
pub(super) mod latency;
pub(super) mod raw;
pub(super) mod resume;
pub(super) mod rusqlite;
pub(super) mod seeds;
pub(super) mod spawn;

fn runtime() -> Result<Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn pages(jobs: u64) -> Vec<Page> {
    (0..jobs).map(Page::new).collect()
}

/// The steps that all of them made.
fn steps(pages: &[Page]) -> u64 {
    pages.iter().map(|page| u64::from(page.steps)).sum()
}

/// Has the system forget what it has in memory of the files in a folder, if that is asked for.
fn chill(cache: Cache, dir: &Path) -> Result<(), Failed> {
    let Cache::Cold = cache else { return Ok(()) };
    for file in fs::read_dir(dir)? {
        let file = File::open(file?.path())?;
        file.sync_all()?;
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

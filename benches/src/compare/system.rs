//! Those that do the work.
use tokio::runtime::Runtime;

use super::{Failed, work::Page};

pub(super) mod chain;
pub(super) mod cores;
pub(super) mod jorb;
pub(super) mod raw;
pub(super) mod rusqlite;
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

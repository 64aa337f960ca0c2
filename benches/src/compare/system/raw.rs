//! The disk's own limit: records of 200 bytes appended to a file, made durable 1,024 at a time.
use std::{fs::File, io::Write, path::Path, time::Instant};

use super::super::{Failed, sample::Outcome, work::STATES};

const RECORD: usize = 200;
/// Records that are made durable together.
pub(super) const BATCH: usize = 1024;

pub(in crate::compare) fn run(jobs: u64, dir: &Path) -> Result<Outcome, Failed> {
    let records = STATES * jobs;
    let mut file = File::create(dir.join("raw"))?;
    let batch = vec![b'x'; RECORD * BATCH];
    let mut left = usize::try_from(records)?;
    let start = Instant::now();
    while left > 0 {
        let n = left.min(BATCH);
        file.write_all(&batch[..RECORD * n])?;
        file.sync_data()?;
        left -= n;
    }
    Ok(Outcome::steps(records, start.elapsed()))
}

//! What the programs of other engines share: the work, and how they say what it took.
#![allow(dead_code, reason = "each program takes what it needs")]

use std::{env, fs, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Steps at once: of one state, and of all three.
pub const CONCURRENCY: usize = 8;
pub const ALL: usize = 3 * CONCURRENCY;

/// A context of about 200 bytes of JSON: as jorb's bench has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page {
    pub url: String,
    pub text: String,
    pub steps: u32,
}

impl Page {
    pub fn new(n: u64) -> Self {
        Page { url: format!("https://example.org/{n}"), text: "x".repeat(150), steps: 0 }
    }
}

/// What is asked for: `CASE JOBS FOLDER`.
pub struct Order {
    pub case: String,
    pub jobs: u64,
    pub dir: PathBuf,
}

pub fn order() -> Result<Order, Failed> {
    let mut args = env::args().skip(1);
    let (Some(case), Some(jobs), Some(dir)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: CASE JOBS FOLDER".into());
    };
    Ok(Order { case, jobs: jobs.parse()?, dir: dir.into() })
}

/// Says in one line how many steps were made, and how long they took.
pub fn say(transitions: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    let peak = peak_rss_mb().map_or("null".into(), |mb| mb.to_string());
    println!(r#"{{"transitions":{transitions},"seconds":{seconds},"peak_rss_mb":{peak}}}"#);
}

/// The most memory that this process ever had, in megabytes.
fn peak_rss_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

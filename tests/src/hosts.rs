//! Pages of hosts, for workflows whose limiters have keys.
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// The context of a job.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Page {
    /// Whose it is.
    pub host: String,
    /// Which of them.
    pub n: u32,
    /// Its step takes so long.
    pub ms: u64,
    /// Its first step is told to come again so much later.
    pub throttled: Option<u64>,
}

/// One that is not throttled.
#[must_use]
pub fn page(host: &str, n: u32, ms: u64) -> Page {
    Page { host: host.into(), n, ms, throttled: None }
}

/// The program has another opinion of what a host is.
pub static LOUD: AtomicBool = AtomicBool::new(false);

/// Its key.
#[must_use]
pub fn host(page: &Page) -> String {
    if LOUD.load(Relaxed) && page.host.starts_with("rekeyed") {
        page.host.to_uppercase()
    } else {
        page.host.clone()
    }
}

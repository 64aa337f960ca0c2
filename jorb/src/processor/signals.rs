//! Ctrl-C and SIGTERM.
use std::sync::Arc;

use super::slot::Shared;
use crate::Workflow;

/// The first signal stops gracefully, the second one at once.
pub(super) async fn listen<W: Workflow>(shared: Arc<Shared<W>>) {
    if !signalled().await {
        return;
    }
    tracing::info!("stopping; once more to stop at once");
    shared.core.stop();
    if signalled().await {
        shared.core.kill_by_signal();
    }
}

/// False when signals cannot be had.
#[cfg(unix)]
async fn signalled() -> bool {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return false };
    tokio::select! {
        ctrl_c = tokio::signal::ctrl_c() => ctrl_c.is_ok(),
        _ = terminate.recv() => true,
    }
}

#[cfg(not(unix))]
async fn signalled() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}

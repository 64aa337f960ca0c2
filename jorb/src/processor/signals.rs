//! Ctrl-C and SIGTERM.
use super::handle::Handle;
use super::summary::Exit;
use crate::Workflow;

/// The first signal stops gracefully, the second one at once.
pub(super) async fn listen<W: Workflow>(handle: Handle<W>) {
    if !signalled().await {
        return;
    }
    tracing::info!("stopping; once more to stop at once");
    handle.stop();
    signalled().await;
    handle.stop_now();
    // All that is done becomes durable meanwhile. A third one, or a step that blocks its thread, ends it all.
    signalled().await;
    std::process::exit(Exit::Stopped as i32);
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

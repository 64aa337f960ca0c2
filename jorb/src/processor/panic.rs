//! Catches the panics of handlers, with their place.
use std::{
    any::Any,
    cell::{Cell, RefCell},
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::Once,
    task::{Context, Poll},
};

thread_local! {
    /// A handler runs on this thread.
    static RUNS: Cell<bool> = const { Cell::new(false) };
    /// Where it panicked.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A pinned future whose panics become errors: the message and the place.
pub(super) struct Caught<F>(pub(super) F);

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match caught(|| Pin::new(&mut self.0).poll(cx)) {
            Ok(polled) => polled.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Runs code of a user, here and now.
pub(super) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    listen();
    RUNS.set(true);
    // What it leaves broken is thrown away with it: the job's context is read again.
    let done = panic::catch_unwind(AssertUnwindSafe(code));
    RUNS.set(false);
    done.map_err(|payload| text(payload.as_ref()))
}

fn text(payload: &(dyn Any + Send)) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    match PLACE.take() {
        Some(place) => format!("panicked at {place}: {message}"),
        None => format!("panicked: {message}"),
    }
}

/// The place of a panic is told to the hook only, so there is one. Panics of handlers are recorded with the job and
/// not printed; all others go to the hook that was there before.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if RUNS.get() {
                PLACE.set(info.location().map(|at| format!("{}:{}", at.file(), at.line())));
            } else {
                before(info);
            }
        }));
    });
}

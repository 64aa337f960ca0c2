//! The service: HTTP for this machine only, with a limit that nobody is told.
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, time::sleep};

/// Whoever is refused so often within a second is told to stay away for a second. To others a 429 says nothing but "too
/// many": a second costs all that the service would have taken meanwhile, and seconds are what the header has.
const PATIENCE: u32 = 5;

/// A part of the time, in which the capacity stays the same. All in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phase {
    pub(crate) from: f64,
    /// A client that adapts should have found the capacity by then.
    pub(crate) steady: f64,
    pub(crate) until: f64,
    /// Requests per second.
    pub(crate) capacity: f64,
}

/// A request that came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// In seconds.
    pub(crate) at: f64,
    pub(crate) answer: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    TooMany,
    /// Come back in a second.
    FarTooMany,
}

pub(crate) struct Service {
    began: Instant,
    phases: Vec<Phase>,
    inside: Mutex<Inside>,
}

/// A bucket that leaks at the capacity and holds a twentieth of a second of it.
#[derive(Default)]
struct Inside {
    level: f64,
    log: Vec<Asked>,
    /// From when on a second is counted, and how many are refused in it.
    refused: (f64, u32),
}

impl Service {
    /// It begins now, and ends after so many seconds.
    pub(crate) fn new(seconds: f64) -> Arc<Self> {
        // To look far beyond what it knows, a client takes its time.
        let mut begins = if seconds < 30.0 {
            vec![(0.0, 4.0, 200.0), (0.5 * seconds, 4.0, 100.0)]
        } else {
            vec![(0.0, 4.0, 200.0), (0.25 * seconds, 4.0, 100.0), (0.5 * seconds, 14.0, 200.0)]
        };
        let mut until = seconds;
        let phase = |(from, found, capacity)| {
            let phase = Phase { from, steady: from + found, until, capacity };
            until = from;
            phase
        };
        let mut phases: Vec<Phase> = begins.drain(..).rev().map(phase).collect();
        phases.reverse();
        Arc::new(Service { began: Instant::now(), phases, inside: Mutex::default() })
    }

    /// Serves from now on, at the address that it gives.
    pub(crate) async fn serve(self: &Arc<Self>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let routes = Router::new().route("/", get(answer)).with_state(Arc::clone(self));
        tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(address)
    }

    /// Since it began.
    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    pub(crate) fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// All that came until now.
    pub(crate) fn log(&self) -> Vec<Asked> {
        self.lock().log.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether a request is one of too many.
    fn ask(&self) -> Answer {
        let mut inside = self.lock();
        let at = self.seconds();
        let capacity = self.phases.iter().rfind(|phase| phase.from <= at).map_or(0.0, |phase| phase.capacity);
        let last = inside.log.last().map_or(0.0, |asked| asked.at);
        inside.level = (inside.level - (at - last) * capacity).max(0.0);
        let answer = if inside.level + 1.0 <= capacity / 20.0 {
            inside.level += 1.0;
            Answer::Taken
        } else {
            let (second, times) = inside.refused;
            inside.refused = if at < second + 1.0 { (second, times + 1) } else { (at, 1) };
            if inside.refused.1 > PATIENCE { Answer::FarTooMany } else { Answer::TooMany }
        };
        inside.log.push(Asked { at, answer });
        answer
    }
}

async fn answer(State(service): State<Arc<Service>>) -> Response {
    let too_many = StatusCode::TOO_MANY_REQUESTS;
    match service.ask() {
        Answer::Taken => {
            sleep(Duration::from_millis(50)).await;
            "done\n".into_response()
        }
        Answer::TooMany => too_many.into_response(),
        Answer::FarTooMany => (too_many, [(RETRY_AFTER, "1")]).into_response(),
    }
}

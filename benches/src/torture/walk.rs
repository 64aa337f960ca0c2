//! The workflow under torture. A hash of job, step and attempt decides what a step does: move, loop, kick, delay, retry,
//! throttle, panic. So anybody can tell what must become of each job, and no crash may change it.
use std::time::Duration;

use jorb::{Active, Error, Kicks, Run, Transition, prelude::*};

use super::marks::Session;

/// What all jobs of a run share.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Of all hashes.
    pub(super) seed: u64,
    /// Jobs to begin with.
    pub(super) jobs: u64,
    /// Bytes that each job has with it: more of them fill the log sooner.
    pub(super) load: usize,
}

/// A job knows itself by a number that does not depend on the order of things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Walker {
    /// The number.
    pub(super) me: u64,
    /// Kicked by a kicked one by ..
    pub(super) depth: u32,
    /// Steps that left something: a panic leaves nothing.
    pub(super) tries: u64,
    /// [`Plan::load`].
    pub(super) load: String,
}

impl Walker {
    fn new(plan: Plan, me: u64, depth: u32) -> Self {
        Walker { me, depth, tries: 0, load: "x".repeat(plan.load) }
    }
}

/// Jobs that walk about.
#[workflow(app = Session, overall = Plan, job = Walker, name = "Torture")]
#[derive(Debug, Clone)]
pub(super) enum Walk {
    /// Many at once.
    #[state(initial, next(Free, Thread, Fast, Slow, Done), kick(Free, Thread, Fast, Slow, Done))]
    Free,
    /// A plain function, of few at once.
    #[state(initial, next(Free, Thread, Fast, Slow, Done), kick(Free, Thread, Fast, Slow, Done))]
    Thread {
        /// [`Walker::me`].
        of: u64,
    },
    /// Limited to a rate that is not saved.
    #[state(next(Free, Thread, Fast, Slow, Done), kick(Free, Thread, Fast, Slow, Done))]
    Fast,
    /// Limited to a rate that is saved before each start.
    #[state(next(Free, Thread, Fast, Slow, Done), kick(Free, Thread, Fast, Slow, Done))]
    Slow,
    /// The end.
    #[state(terminal)]
    Done,
}

/// What the policy of a state promises.
pub(super) struct Promise {
    /// Its name.
    pub(super) state: &'static str,
    /// Steps at once.
    pub(super) concurrency: usize,
    /// Further attempts.
    pub(super) retries: u32,
    /// Least time between attempts, in milliseconds.
    pub(super) backoff: u64,
    /// Starts at once, and the time from one start to the next, if there is a limit.
    pub(super) rate: Option<(u32, Duration)>,
}

/// Of each state with a handler, in order.
pub(super) const PROMISES: [Promise; 4] = [
    Promise { state: "Free", concurrency: 16, retries: 2, backoff: 2, rate: None },
    Promise { state: "Thread", concurrency: 3, retries: 1, backoff: 5, rate: None },
    Promise {
        state: "Fast",
        concurrency: 8,
        retries: 2,
        backoff: 2,
        rate: Some((5, Duration::from_millis(20))),
    },
    Promise {
        state: "Slow",
        concurrency: 2,
        retries: 1,
        backoff: 2,
        rate: Some((1, Duration::from_millis(100))),
    },
];

/// The state after those.
pub(super) const DONE: usize = PROMISES.len();

#[state(concurrency = 16, retries = 2, backoff = "2ms..30ms")]
async fn free(_: walk::Free, cx: &mut Cx<Walk>) -> Outcome<walk::Free> {
    let (step, nap) = begin(0, cx);
    tokio::time::sleep(nap).await;
    step.end(cx)
}

#[state(concurrency = 3, retries = 1, backoff = "5ms..20ms")]
fn thread(state: walk::Thread, cx: &mut Cx<Walk>) -> Outcome<walk::Thread> {
    assert_eq!(state.of, cx.job.me, "a state's fields are another job's");
    let (step, nap) = begin(1, cx);
    std::thread::sleep(nap);
    step.end(cx)
}

#[state(concurrency = 8, retries = 2, backoff = "2ms..30ms", rate = "50/s", burst = 5)]
async fn fast(_: walk::Fast, cx: &mut Cx<Walk>) -> Outcome<walk::Fast> {
    let (step, nap) = begin(2, cx);
    tokio::time::sleep(nap).await;
    step.end(cx)
}

#[state(concurrency = 2, retries = 1, backoff = "2ms..30ms", rate = "10/s")]
async fn slow(_: walk::Slow, cx: &mut Cx<Walk>) -> Outcome<walk::Slow> {
    let (step, nap) = begin(3, cx);
    tokio::time::sleep(nap).await;
    step.end(cx)
}

/// A step that has begun, and is marked so.
struct Step {
    act: Act,
    mark: super::marks::Inside,
}

fn begin(state: usize, cx: &Cx<Walk>) -> (Step, Duration) {
    let number: u64 = cx.key().rsplit('/').next().and_then(|n| n.parse().ok()).expect("a step number");
    let at = Position { step: number, attempt: cx.attempt(), tries: cx.job.tries };
    let mark = cx.app.start(cx.id(), cx.job.me, at, PROMISES[state].state);
    let act = decide(*cx.overall, &cx.job, at);
    // A step of no time at all is rarely hit by a kill; some take long.
    let hash = mix(cx.job.me ^ mix(number));
    let nap = Duration::from_micros(hash % if hash.is_multiple_of(32) { 50_000 } else { 4_000 });
    (Step { act, mark }, nap)
}

impl Step {
    fn end<S>(self, cx: &mut Cx<Walk>) -> Outcome<S>
    where
        S: Active<Workflow = Walk>
            + Transition<walk::Free>
            + Transition<walk::Thread>
            + Transition<walk::Fast>
            + Transition<walk::Slow>
            + Transition<walk::Done>
            + Kicks<walk::Free>
            + Kicks<walk::Thread>
            + Kicks<walk::Fast>
            + Kicks<walk::Slow>
            + Kicks<walk::Done>,
    {
        cx.job.tries += 1;
        let of = cx.job.me;
        self.mark.end();
        let wait = Duration::from_millis;
        let (to, after, kicks) = match self.act {
            Act::Move { to, after, kicks } => (to, after, kicks),
            Act::Retry(None) => return Err(Fault::retry("again")),
            Act::Retry(Some(after)) => return Err(Fault::retry("later").after(wait(after))),
            Act::Throttle(after) => return Err(Fault::throttled(after.map(wait))),
            Act::Fatal => return Err(Fault::fatal("no")),
            Act::Panic => panic!("on purpose"),
        };
        let mut next = match to {
            0 => Next::to(walk::Free),
            1 => Next::to(walk::Thread { of }),
            2 => Next::to(walk::Fast),
            3 => Next::to(walk::Slow),
            _ => Next::to(walk::Done),
        };
        for Child { to, walker, once } in kicks {
            let of = walker.me;
            next = match to {
                0 => next.kick([keyed(Kick::new(walk::Free, walker), once)]),
                1 => next.kick([keyed(Kick::new(walk::Thread { of }, walker), once)]),
                2 => next.kick([keyed(Kick::new(walk::Fast, walker), once)]),
                3 => next.kick([keyed(Kick::new(walk::Slow, walker), once)]),
                _ => next.kick([keyed(Kick::new(walk::Done, walker), once)]),
            };
        }
        Ok(next.after(wait(after)))
    }
}

fn keyed<S: State>(kick: Kick<S>, once: Option<u64>) -> Kick<S> {
    match once {
        Some(key) => kick.once(key.to_string()),
        None => kick,
    }
}

/// Where a job is: each outcome that is committed leads to a later position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Moves so far.
    pub(super) step: u64,
    /// Attempt of the next step, from 1.
    pub(super) attempt: u32,
    /// [`Walker::tries`].
    pub(super) tries: u64,
}

impl Position {
    /// Of a new job.
    pub(super) const FIRST: Position = Position { step: 0, attempt: 1, tries: 0 };
}

/// What a step does. Times in milliseconds.
pub(super) enum Act {
    Move { to: usize, after: u64, kicks: Vec<Child> },
    Retry(Option<u64>),
    Throttle(Option<u64>),
    Panic,
    Fatal,
}

/// A kick.
pub(super) struct Child {
    pub(super) to: usize,
    pub(super) walker: Walker,
    pub(super) once: Option<u64>,
}

/// Kicked jobs kick others, which kick no more.
const DEPTH: u32 = 2;

pub(super) fn decide(plan: Plan, job: &Walker, at: Position) -> Act {
    let parts = [job.me, at.step, at.attempt.into(), at.tries];
    let hash = parts.into_iter().fold(mix(plan.seed), |hash, part| mix(hash ^ part));
    let delay = |hash: u64| [0, 0, 0, hash / 8 % 20, hash / 8 % 150][index(hash, 5)];
    match hash % 100 {
        0..8 => Act::Retry(None),
        8..11 => Act::Retry(Some(delay(mix(hash)))),
        11..14 => Act::Throttle(None),
        14 => Act::Throttle(Some(mix(hash) % 40)),
        15..18 => Act::Panic,
        18 => Act::Fatal,
        _ => {
            let ends = mix(hash ^ 1).is_multiple_of(4) || at.step > 12;
            // Few go where starts are slow.
            let to = match mix(hash ^ 2) % 256 {
                _ if ends => DONE,
                0..3 => 3,
                3..12 => 2,
                12..40 => 1,
                _ => 0,
            };
            Act::Move { to, after: delay(mix(hash ^ 3)), kicks: children(plan, job, hash) }
        }
    }
}

fn children(plan: Plan, job: &Walker, hash: u64) -> Vec<Child> {
    if job.depth >= DEPTH || !mix(hash ^ 4).is_multiple_of(4) {
        return Vec::new();
    }
    let child = |n: u64| {
        let hash = mix(hash ^ mix(n));
        let to = [0, 0, 0, 1, 2, DONE, DONE, DONE][index(mix(hash), 8)];
        // Whoever kicks a job with a key kicks the same job.
        let once = hash.is_multiple_of(3).then(|| mix(hash ^ 5) % 64);
        let me = once.map_or(hash, |key| mix(plan.seed ^ mix(mix(to as u64) ^ key)));
        let depth = if once.is_some() { DEPTH } else { job.depth + 1 };
        Child { to, walker: Walker::new(plan, me, depth), once }
    };
    (0..mix(hash ^ 6) % 5).map(child).collect()
}

/// The jobs of a new run: even ones start in `Free`, odd ones in `Thread`.
pub(super) fn seeds(plan: Plan) -> impl Iterator<Item = (usize, Walker)> {
    let seed = move |n| Walker::new(plan, mix(plan.seed ^ mix(n)), 0);
    (0..plan.jobs).map(move |n| (index(n, 2), seed(n)))
}

/// Fills a new run.
pub(super) fn seed(run: &mut Run<Walk>, plan: Plan) -> Result<bool, Error> {
    run.seed(plan, |jobs| {
        seeds(plan).try_for_each(|(to, walker)| match to {
            0 => jobs.add(Kick::new(walk::Free, walker)),
            _ => jobs.add(Kick::new(walk::Thread { of: walker.me }, walker)),
        })
    })
}

/// A hash.
#[must_use]
pub(super) fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn index(hash: u64, of: usize) -> usize {
    usize::try_from(hash % of as u64).expect("below a usize")
}

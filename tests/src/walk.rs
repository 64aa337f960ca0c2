//! A workflow whose every step is decided by a hash of job, step and attempt: move, loop, kick, delay, fail. And what
//! must come out of it, by an interpreter that knows no queue, no clock and no store.
use std::time::Duration;

use jorb::{
    Active, Batch, BatchCx, BatchOutcome, Children, Error, JobId, Kicks, Run, Saved, Transition, prelude::*,
    store::Record,
};

use crate::audit::Audit;

pub use fates::{Fate, check_fates, fates};

mod fates;

/// What all jobs share.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Plan {
    pub seed: u64,
    /// Jobs kick no children below this depth.
    pub depth: u32,
    /// Jobs end after about so many steps.
    pub steps: u64,
    /// Longest delay, in milliseconds.
    pub delay: u64,
    /// Some go through `D`, where starts are slow.
    pub slow: bool,
    /// Some wait for their children; then nobody kicks a job with a key, because whose child that is depends on the order.
    pub joins: bool,
}

/// A job knows itself by a number that does not depend on the order of things.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Walker {
    pub me: u64,
    pub depth: u32,
    /// Steps that left something.
    pub tries: u64,
    /// How children stood that it waited for.
    pub seen: u64,
}

#[workflow(app = Audit, overall = Plan, job = Walker)]
#[derive(Debug, Clone)]
pub enum Walk {
    /// In batches.
    #[state(initial, next(A, B, C, D, Done), kick(A, B, C, D, Done))]
    A,
    #[state(initial, next(A, B, C, D, Done), kick(A, B, C, D, Done))]
    B { of: u64 },
    #[state(next(A, B, C, D, Done), kick(A, B, C, D, Done))]
    C,
    #[state(next(A, B, C, D, Done), kick(A, B, C, D, Done))]
    D,
    #[state(terminal)]
    Done,
}

/// Names, retries, concurrency, and the time between starts, as the handlers below have them.
pub const STATES: [(&str, u32, usize, Duration); 4] = [
    ("A", 2, 3, Duration::ZERO),
    ("B", 1, 50, Duration::ZERO),
    ("C", 2, 8, Duration::from_millis(20)),
    ("D", 1, 4, Duration::from_millis(100)),
];

#[state(batch(max = 4), concurrency = 3, retries = 2, backoff = "5ms..2s")]
async fn a(batch: Batch<walk::A>, cx: &mut BatchCx<Walk>) -> BatchOutcome<walk::A> {
    let jobs = batch.iter().map(|item| (item.id(), item.key(), item.attempt()));
    let _inside = cx.app.start_batch("A", jobs);
    let first = batch.iter().next().expect("a batch has a job");
    acts(&cx.app, "A", first.id(), &first.key(), first.attempt(), first.job.me).await;
    let plan = *cx.overall;
    Ok(batch.finish(|item| {
        let act = decide(plan, &item.job, number(&item.key()), item.attempt());
        if matches!(act, Act::Panic) {
            return Err(Fault::retry("boom")); // as if it was alone: nothing of it is left
        }
        item.job.seen = mix(item.job.seen ^ tally(&children_seen(&item.children())));
        item.job.tries += 1;
        follow(&cx.app, "A", item.job.me, act)
    }))
}

#[state(concurrency = 50, retries = 1, backoff = "20ms..100ms")]
async fn b(state: walk::B, cx: &mut Cx<Walk>) -> Outcome<walk::B> {
    assert_eq!(state.of, cx.job.me, "a state's fields are another job's");
    step("B", cx).await
}

#[state(concurrency = 8, retries = 2, backoff = "5ms..2s", rate = "50/s", burst = 5)]
async fn c(_: walk::C, cx: &mut Cx<Walk>) -> Outcome<walk::C> {
    step("C", cx).await
}

#[state(concurrency = 4, retries = 1, backoff = "5ms..50ms", rate = "10/s")]
async fn d(_: walk::D, cx: &mut Cx<Walk>) -> Outcome<walk::D> {
    step("D", cx).await
}

async fn step<S: Anywhere>(state: &'static str, cx: &mut Cx<Walk>) -> Outcome<S> {
    let _inside = cx.app.start(state, cx.id(), &cx.key(), cx.attempt());
    let act = decide(*cx.overall, &cx.job, number(&cx.key()), cx.attempt());
    cx.job.tries += 1;
    cx.job.seen = mix(cx.job.seen ^ tally(&children_seen(&cx.children())));
    acts(&cx.app, state, cx.id(), &cx.key(), cx.attempt(), cx.job.me).await;
    follow(&cx.app, state, cx.job.me, act)
}

/// A state that has all edges.
trait Anywhere:
    Active<Workflow = Walk>
    + Transition<walk::A>
    + Transition<walk::B>
    + Transition<walk::C>
    + Transition<walk::D>
    + Transition<walk::Done>
    + Kicks<walk::A>
    + Kicks<walk::B>
    + Kicks<walk::C>
    + Kicks<walk::D>
    + Kicks<walk::Done>
{
}

impl Anywhere for walk::A {}
impl Anywhere for walk::B {}
impl Anywhere for walk::C {}
impl Anywhere for walk::D {}

/// Of a step.
fn number(key: &str) -> u64 {
    key.rsplit('/').next().and_then(|n| n.parse().ok()).expect("a step number")
}

/// Takes its time.
async fn acts(audit: &Audit, state: &'static str, job: JobId, key: &str, attempt: u32, me: u64) {
    let number = number(key);
    let nap = mix(me ^ number) % 60;
    let stage = audit.lock().stage.clone();
    match stage {
        Some(stage) => stage.enter(state, job, number, attempt, nap >= 30).await,
        None if nap < 30 => tokio::time::sleep(Duration::from_millis(nap)).await,
        None => {}
    }
}

/// What a job gives that is `of` this number.
fn follow<S: Anywhere>(audit: &Audit, state: &'static str, of: u64, act: Act) -> Outcome<S> {
    if let Act::Throttle(Some(wait)) = act {
        audit.lock().pause(state, wait);
    }
    let Act::Move { to, after, kicks, join } = act else {
        return Err(match act {
            Act::Retry(None) => Fault::retry("again"),
            Act::Retry(Some(after)) => Fault::retry("later").after(after),
            Act::Throttle(after) => Fault::throttled(after),
            Act::Fatal => Fault::fatal("no"),
            Act::Panic | Act::Move { .. } => panic!("boom"),
        });
    };
    let mut next = match to {
        0 => Next::to(walk::A),
        1 => Next::to(walk::B { of }),
        2 => Next::to(walk::C),
        3 => Next::to(walk::D),
        _ => Next::to(walk::Done),
    };
    for Child { to, walker, once } in kicks {
        let of = walker.me;
        next = match to {
            0 => next.kick([keyed(Kick::new(walk::A, walker), once)]),
            1 => next.kick([keyed(Kick::new(walk::B { of }, walker), once)]),
            2 => next.kick([keyed(Kick::new(walk::C, walker), once)]),
            3 => next.kick([keyed(Kick::new(walk::D, walker), once)]),
            _ => next.kick([keyed(Kick::new(walk::Done, walker), once)]),
        };
    }
    next = match join {
        None => next,
        Some(false) => next.when_children_done(),
        Some(true) => next.when_children_done_or_parked(),
    };
    Ok(next.after(after))
}

/// Those that were parked or cancelled by state, as one may become the other; those that ended, those that were cancelled before
/// they ended.
type Seen = [u64; 6];

fn children_seen(children: &Children<Walk>) -> Seen {
    let seen = [
        children.parked_in::<walk::A>() + children.cancelled_in::<walk::A>(),
        children.parked_in::<walk::B>() + children.cancelled_in::<walk::B>(),
        children.parked_in::<walk::C>() + children.cancelled_in::<walk::C>(),
        children.parked_in::<walk::D>() + children.cancelled_in::<walk::D>(),
        children.ended_in::<walk::Done>(),
        children.cancelled_in::<walk::Done>(),
    ];
    assert_eq!(children.left(), 0, "it went on before they were done");
    assert_eq!(children.total(), seen.iter().sum::<u64>());
    seen
}

fn tally(seen: &Seen) -> u64 {
    seen.iter().fold(0, |hash, n| mix(hash ^ n))
}

fn keyed<S: State>(kick: Kick<S>, once: Option<String>) -> Kick<S> {
    match once {
        Some(key) => kick.once(key),
        None => kick,
    }
}

enum Act {
    Move { to: usize, after: Duration, kicks: Vec<Child>, join: Option<bool> },
    Retry(Option<Duration>),
    Throttle(Option<Duration>),
    Panic,
    Fatal,
}

struct Child {
    to: usize,
    walker: Walker,
    once: Option<String>,
}

/// A hash.
pub fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn decide(plan: Plan, job: &Walker, step: u64, attempt: u32) -> Act {
    let parts = [job.me, step, attempt.into(), job.tries];
    let hash = parts.into_iter().fold(mix(plan.seed), |hash, part| mix(hash ^ part));
    let delay = |hash: u64| match hash % 5 {
        0 | 1 => Duration::ZERO,
        2 => Duration::from_millis(hash / 5 % 50),
        3 => Duration::from_millis(hash / 5 % plan.delay.max(1)),
        _ => Duration::from_millis(plan.delay),
    };
    match hash % 100 {
        0..8 => Act::Retry(None),
        8..11 => Act::Retry(Some(delay(mix(hash)))),
        11..14 => Act::Throttle(None),
        14..16 => Act::Throttle(Some(Duration::from_millis(mix(hash) % 200))),
        16..18 => Act::Panic,
        18 => Act::Fatal,
        _ => {
            let to = if mix(hash ^ 1).is_multiple_of(plan.steps) || step > 4 * plan.steps {
                4
            } else {
                // Few go where starts are slow.
                [0, 0, 1, 1, 1, 1, 1, 1, 1, 2, if plan.slow { 3 } else { 1 }]
                    [usize::try_from(mix(hash ^ 2) % 11).expect("small")]
            };
            let joins = plan.joins && mix(hash ^ 7).is_multiple_of(3);
            let join = joins.then(|| mix(hash ^ 8).is_multiple_of(2));
            Act::Move { to, after: delay(mix(hash ^ 3)), kicks: children(plan, job, hash), join }
        }
    }
}

fn children(plan: Plan, job: &Walker, hash: u64) -> Vec<Child> {
    if job.depth >= plan.depth || !mix(hash ^ 4).is_multiple_of(3) {
        return Vec::new();
    }
    let child = |n: u64| {
        let hash = mix(hash ^ mix(n));
        let to = [0, 1, 2, 1, 4, 4][usize::try_from(mix(hash) % 6).expect("small")];
        // Whoever kicks a job with a key kicks the same job.
        let once = (hash.is_multiple_of(4) && !plan.joins).then(|| mix(hash ^ 5) % 50);
        let me = once.map_or(hash, |key| mix(key ^ mix(to as u64) ^ plan.seed));
        let depth = if once.is_some() { plan.depth } else { job.depth + 1 };
        Child {
            to,
            walker: Walker { me, depth, tries: 0, seen: 0 },
            once: once.map(|key| format!("key {key}")),
        }
    };
    (0..mix(hash ^ 6) % 6).map(child).collect()
}

/// The seeds of a run: even ones start in `A`, odd ones in `B`.
pub fn seeds(n: u64) -> impl Iterator<Item = Walker> {
    (0..n).map(|n| Walker { me: mix(n), depth: 0, tries: 0, seen: 0 })
}

/// Fills a new run.
pub fn seed(run: &mut Run<Walk>, plan: Plan, n: u64) -> Result<bool, Error> {
    run.seed(plan, |jobs| {
        seeds(n).enumerate().try_for_each(|(i, walker)| match i % 2 {
            0 => jobs.add(Kick::new(walk::A, walker)),
            _ => jobs.add(Kick::new(walk::B { of: walker.me }, walker)),
        })
    })
}

/// What a store's job knows of itself.
pub fn walker(record: &Record<Walk>) -> Walker {
    match &record.job.context {
        Saved::Value(walker) => walker.as_ref().clone(),
        Saved::Json(text) => serde_json::from_str(text).expect("it was written"),
        Saved::Nothing => unreachable!("every job has one"),
    }
}

//! DESIGN 3.2 as a table: all that follows from what a step returned is in one pure function.
use std::time::Duration;

use jorb::{
    Backoff, JobId, Policy, Reaction, Saved, Snapshot, StateId, Status, Timestamp,
    prelude::*,
    reduce::{Action, Effect, Kicked, Moved, Reduced, Returned, Target, reduce},
};

#[workflow(job = String)]
#[derive(Debug, Clone)]
enum Crawl {
    #[state(initial, next(Parse, Done), kick(Fetch))]
    Fetch,
    #[state(next(Done))]
    Parse { html: String },
    #[state(terminal)]
    Done,
}

#[state]
async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Done))
}

#[state]
async fn parse(_: crawl::Parse) -> Outcome<crawl::Parse> {
    Ok(Next::to(crawl::Done))
}

const BEGAN: Timestamp = Timestamp(970_000);
const NOW: Timestamp = Timestamp(1_000_000);
const POLICY: Policy =
    Policy::DEFAULT.retries(2).backoff(Backoff::new(Duration::from_secs(1), Duration::from_secs(3)));

fn state(name: &str) -> StateId<Crawl> {
    StateId::named(name).unwrap()
}

fn json<T>(text: &str) -> Saved<T> {
    Saved::Json(text.into())
}

fn text<T>(saved: &Saved<T>) -> &str {
    match saved {
        Saved::Json(text) => text,
        _ => "",
    }
}

fn job(attempt: u32) -> Snapshot<Crawl> {
    Snapshot {
        id: JobId(7),
        parent: Some((JobId(2), 1)),
        step: 3,
        attempt,
        began: Some(BEGAN),
        errors: 4,
        kicked: 5,
        state: state("Fetch"),
        data: Saved::Nothing,
        context: json("before"),
        status: Status::Ready,
        ready_at: Timestamp(0),
        delay: Duration::ZERO,
    }
}

fn target(name: &str) -> Target<Crawl> {
    Target { state: state(name), data: json(name) }
}

fn moved(name: &str, after: Duration) -> Returned<Crawl> {
    Returned::Moved(Moved { to: target(name), after, kicks: Vec::new(), context: json("after") })
}

fn failed(reaction: Reaction) -> Returned<Crawl> {
    Returned::Failed { reaction, error: "no".into(), context: json("after") }
}

fn kind(effect: Option<&Effect<Crawl>>) -> &'static str {
    match effect {
        Some(Effect::Move { .. }) => "m",
        Some(Effect::Error { .. }) => "e",
        Some(Effect::Throttle { .. }) => "t",
        None => "",
    }
}

#[test]
fn the_table() {
    use Action::{End, Park, Run, Stay};
    let s = Duration::from_secs;
    let retry = |after| failed(Reaction::Retry(after));
    let throttled = |after| failed(Reaction::Throttle(after));
    let broke = || Returned::Broke { error: "no".into() };
    let unusable = || Returned::Unusable { error: "no".into() };
    #[rustfmt::skip]
    let rows = [
        // what            attempt, returned                        action wait attempt context effect
        ("moved",               2, moved("Parse", s(0)),             Run,  0, 1, "after",  "m"),
        ("moved, later",        1, moved("Parse", s(9)),             Run,  9, 1, "after",  "m"),
        ("moved to itself",     3, moved("Fetch", s(0)),             Run,  0, 1, "after",  "m"),
        ("moved to the end",    1, moved("Done", s(0)),              End,  0, 1, "after",  "m"),
        ("the end has no later",1, moved("Done", s(9)),              End,  0, 1, "after",  "m"),
        ("first error",         1, retry(None),                      Run,  1, 2, "after",  "e"),
        ("second error",        2, retry(None),                      Run,  1, 3, "after",  "e"),
        ("attempts used up",    3, retry(None),                      Park, 0, 4, "after",  "e"),
        ("error with a delay",  1, retry(Some(s(40))),               Run, 40, 2, "after",  "e"),
        ("the last, a delay",   3, retry(Some(s(40))),               Park, 0, 4, "after",  "e"),
        ("fatal",               1, failed(Reaction::Park),           Park, 0, 2, "after",  "e"),
        ("throttled",           3, throttled(Some(s(20))),           Run, 20, 3, "after",  "t"),
        ("throttled, no hint",  3, throttled(None),                  Run,  1, 3, "after",  "t"),
        ("panic or timeout",    1, broke(),                          Run,  1, 2, "before", "e"),
        ("the last of them",    3, broke(),                          Park, 0, 4, "before", "e"),
        ("cannot be written",   1, unusable(),                       Park, 0, 2, "before", "e"),
        ("shutdown",            2, Returned::Stopped,                Stay, 0, 2, "before", ""),
    ];
    for (what, attempt_before, returned, action, wait, attempt, context, effect) in rows {
        let reduced = reduce(&POLICY, job(attempt_before), returned, NOW, 0.0);
        let after = reduced.job;
        assert_eq!((reduced.action, after.attempt), (action, attempt), "{what}");
        assert_eq!((text(&after.context), kind(reduced.effect.as_ref())), (context, effect), "{what}");
        assert!(reduced.kicks.is_empty(), "{what}");
        let status = match action {
            Park => Status::Parked,
            End => Status::Ended,
            Run | Stay => Status::Ready,
        };
        assert_eq!(after.status, status, "{what}");
        let due = if action == Stay { Timestamp(0) } else { NOW + s(wait) };
        assert_eq!((after.ready_at, after.delay), (due, s(wait)), "{what}");
        assert_eq!(after.step, if effect == "m" { 4 } else { 3 }, "{what}");
        assert_eq!(after.began, if effect == "m" { None } else { Some(BEGAN) }, "{what}");
        assert_eq!(after.errors, if effect == "e" { 5 } else { 4 }, "{what}");
        assert_eq!((after.id, after.parent, after.kicked), (JobId(7), Some((JobId(2), 1)), 5), "{what}");
        if effect != "m" {
            assert!(after.state == state("Fetch") && text(&after.data).is_empty(), "{what} left its state");
        }
    }
}

#[test]
fn effects_say_what_happened() {
    let effect = |returned| reduce(&POLICY, job(2), returned, NOW, 0.0).effect.expect("something happened");
    let Effect::Move { step: 3, from, to, at: NOW, attempt: 2 } = effect(moved("Parse", Duration::ZERO))
    else {
        panic!("no move")
    };
    assert_eq!((from.name(), to.name()), ("Fetch", "Parse"));
    let Effect::Error { state, step: 3, attempt: 2, at: NOW, error } =
        effect(Returned::Broke { error: "boom".into() })
    else {
        panic!("no error")
    };
    assert_eq!((state.name(), error.as_str()), ("Fetch", "boom"));
    let hint = Some(Duration::from_secs(20));
    let throttled = effect(failed(Reaction::Throttle(hint)));
    assert!(matches!(throttled, Effect::Throttle { after } if after == hint));
}

#[test]
fn kicks_count_on_from_the_last() {
    let kick = |once: &str| Kicked { to: target("Fetch"), context: json(once), once: Some(once.into()) };
    let kicks = vec![kick("a"), kick("b")];
    let step = Moved { to: target("Parse"), after: Duration::ZERO, kicks, context: json("after") };
    let Reduced { job, effect, kicks, .. } = reduce(&POLICY, job(1), Returned::Moved(step), NOW, 0.0);
    assert_eq!((job.step, job.kicked, kind(effect.as_ref())), (4, 7, "m"));
    let kicked = |(n, kick): (u64, Kicked<Crawl>)| (n, kick.once.unwrap(), text(&kick.context).to_owned());
    let kicked: Vec<_> = kicks.into_iter().map(kicked).collect();
    assert_eq!(kicked, [(5, "a".into(), "a".into()), (6, "b".into(), "b".into())]);
}

#[test]
fn a_backoff_grows_between_its_bounds() {
    let wait = |attempt, random| {
        let after = reduce(&POLICY.retries(9), job(attempt), failed(Reaction::Retry(None)), NOW, random);
        after.job.ready_at.since(NOW).as_millis()
    };
    assert_eq!([wait(1, 0.0), wait(1, 0.5), wait(2, 0.5), wait(9, 0.999)], [1_000, 1_500, 2_000, 2_998]);
}

#[test]
fn without_retries_the_first_error_parks() {
    let Reduced { job, action, .. } =
        reduce(&Policy::DEFAULT, job(1), failed(Reaction::Retry(None)), NOW, 0.0);
    assert_eq!((action, job.status), (Action::Park, Status::Parked));
}

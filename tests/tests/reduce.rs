//! DESIGN 3.2 as a table: all that follows from what a step returned is in one pure function.
use std::{sync::Arc, time::Duration};

use jorb::{
    Backoff, JobId, Policy, Reaction, Saved, Snapshot, StateId, Status, Timestamp,
    prelude::*,
    reduce::{Action, Effects, Failing, Kicked, Moved, Moving, Reduced, Returned, Target, Throttle, reduce},
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
        priority: 0,
        status: Status::Ready,
        ready_at: Timestamp(0),
        delay: Duration::ZERO,
        deadline: None,
        join: Some(Arc::new(jorb::Join { left: 3, ..jorb::Join::new(false) })),
    }
}

fn target(name: &str) -> Target<Crawl> {
    Target { state: state(name), data: json(name) }
}

fn moved(name: &str, after: Duration) -> Returned<Crawl> {
    Returned::Moved(Moved { to: target(name), after, kicks: Vec::new(), join: None, context: json("after") })
}

/// Moved, to go on when its children are done or parked.
fn joins(name: &str, after: Duration) -> Returned<Crawl> {
    let join = Some(jorb::Join::new(true));
    Returned::Moved(Moved { to: target(name), after, kicks: Vec::new(), join, context: json("after") })
}

fn failed(reaction: Reaction) -> Returned<Crawl> {
    Returned::Failed { reaction, error: "no".into(), context: json("after") }
}

fn kinds(effects: &Effects<Crawl>) -> String {
    let Effects { throttle, error, moved } = effects;
    let kinds = [(throttle.is_some(), 't'), (error.is_some(), 'e'), (moved.is_some(), 'm')];
    kinds.into_iter().filter_map(|(is, kind)| is.then_some(kind)).collect()
}

/// Of a state that is parked when it has failed for good.
fn parks(_: &Snapshot<Crawl>, _: &str) -> Option<Result<Target<Crawl>, String>> {
    None
}

/// Of one that must not be asked.
fn unasked(_: &Snapshot<Crawl>, _: &str) -> Option<Result<Target<Crawl>, String>> {
    panic!("it has not failed for good")
}

type Gone = Option<Result<&'static str, &'static str>>;

#[test]
fn the_table() {
    use Action::{End, Join, Park, Run, Stay};
    let s = Duration::from_secs;
    let retry = |after| failed(Reaction::Retry(after));
    let throttled = |after| failed(Reaction::Throttle(after));
    let broke = || Returned::Broke { error: "no".into() };
    let unusable = || Returned::Unusable { error: "no".into() };
    #[rustfmt::skip]
    let rows = [
        // what            attempt, returned                        action wait attempt context effects
        ("moved",               2, moved("Parse", s(0)),             Run,  0, 1, "after",  "m"),
        ("moved, later",        1, moved("Parse", s(9)),             Run,  9, 1, "after",  "m"),
        ("moved to itself",     3, moved("Fetch", s(0)),             Run,  0, 1, "after",  "m"),
        ("moved to the end",    1, moved("Done", s(0)),              End,  0, 1, "after",  "m"),
        ("the end has no later",1, moved("Done", s(9)),              End,  0, 1, "after",  "m"),
        ("moved, joins",        2, joins("Parse", s(0)),             Join, 0, 1, "after",  "m"),
        ("joins, and later",    1, joins("Parse", s(9)),             Join, 9, 1, "after",  "m"),
        ("joins at the end",    1, joins("Done", s(9)),              Join, 0, 1, "after",  "m"),
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
    for (what, attempt_before, returned, action, wait, attempt, context, effects) in rows {
        let on_failure = if action == Park { parks } else { unasked };
        let reduced = reduce(&POLICY, job(attempt_before), returned, NOW, 0.0, on_failure);
        let after = reduced.job;
        assert_eq!((reduced.action, after.attempt), (action, attempt), "{what}");
        assert_eq!((text(&after.context), &*kinds(&reduced.effects)), (context, effects), "{what}");
        assert!(reduced.kicks.is_empty(), "{what}");
        // What it waited for before is over with a move, and is kept otherwise.
        let waits = |join: &Option<Arc<jorb::Join>>| join.as_ref().map(|join| (join.or_parked, join.left));
        let before = if effects == "m" { None } else { Some((false, 3)) };
        assert_eq!(waits(&after.join), if action == Join { Some((true, 0)) } else { before }, "{what}");
        let status = match action {
            Park => Status::Parked,
            End => Status::Ended,
            Action::Cancel => Status::Cancelled,
            Join => Status::Joining,
            Run | Stay => Status::Ready,
        };
        assert_eq!(after.status, status, "{what}");
        let due = match action {
            Stay => Timestamp(0),
            Join => NOW,
            _ => NOW + s(wait),
        };
        assert_eq!((after.ready_at, after.delay), (due, s(wait)), "{what}");
        assert_eq!(after.step, if effects == "m" { 4 } else { 3 }, "{what}");
        assert_eq!(after.began, if effects == "m" { None } else { Some(BEGAN) }, "{what}");
        assert_eq!(after.errors, if effects == "e" { 5 } else { 4 }, "{what}");
        assert_eq!((after.id, after.parent, after.kicked), (JobId(7), Some((JobId(2), 1)), 5), "{what}");
        if effects != "m" {
            assert!(after.state == state("Fetch") && text(&after.data).is_empty(), "{what} left its state");
        }
    }
}

/// The deadline is so long after now; nobody asks where a job goes whose deadline has passed.
#[test]
fn nothing_waits_beyond_a_deadline_and_what_passed_it_is_cancelled() {
    use Action::{Cancel, End, Park, Run, Stay};
    let s = Duration::from_secs;
    let retry = |after| failed(Reaction::Retry(after));
    let throttled = |after| failed(Reaction::Throttle(after));
    let broke = || Returned::Broke { error: "no".into() };
    let passed = format!("deadline of {NOW} passed");
    #[rustfmt::skip]
    let rows = [
        // what                 deadline, returned              action  wait attempt errors context error
        ("in mid-step",              0, Returned::Expired,        Cancel,  0, 1, 5, "before", &*passed),
        ("a backoff beyond",         9, retry(Some(s(40))),       Run,     9, 2, 5, "after",  "no"),
        ("a backoff in time",       40, retry(Some(s(40))),       Run,    40, 2, 5, "after",  "no"),
        ("it has passed",            0, retry(None),              Run,     0, 2, 5, "after",  "no"),
        ("a panic, it has passed",   0, broke(),                  Run,     0, 2, 5, "before", "no"),
        ("throttled beyond",         9, throttled(Some(s(20))),   Run,     9, 1, 4, "after",  ""),
        ("a delay beyond",           9, moved("Parse", s(20)),    Run,     9, 1, 4, "after",  ""),
        ("moved, it has passed",     0, moved("Parse", s(20)),    Run,     0, 1, 4, "after",  ""),
        ("ended, it has passed",     0, moved("Done", s(0)),      End,     0, 1, 4, "after",  ""),
        ("fatal, it has passed",     0, failed(Reaction::Park),   Park,    0, 2, 5, "after",  "no"),
        ("shutdown",                 0, Returned::Stopped,        Stay,    0, 1, 4, "before", ""),
    ];
    for (what, deadline, returned, action, wait, attempt, errors, context, error) in rows {
        let before = Snapshot { deadline: Some(NOW + s(deadline)), ..job(1) };
        let on_failure = if action == Park { parks } else { unasked };
        let Reduced { job, effects, action: does, .. } =
            reduce(&POLICY, before, returned, NOW, 0.0, on_failure);
        let status = match action {
            Park => Status::Parked,
            End => Status::Ended,
            Cancel => Status::Cancelled,
            Action::Join => Status::Joining,
            Run | Stay => Status::Ready,
        };
        assert_eq!((does, job.status, job.attempt, job.errors), (action, status, attempt, errors), "{what}");
        let due = if action == Stay { Timestamp(0) } else { NOW + s(wait) };
        assert_eq!((job.ready_at, job.delay), (due, s(wait)), "{what}");
        assert_eq!(text(&job.context), context, "{what}");
        assert_eq!(effects.error.map_or_else(String::new, |e| e.error), error, "{what}");
        assert_eq!(job.deadline, Some(NOW + s(deadline)), "{what}");
    }
}

/// The first attempt began 30 seconds ago.
#[test]
fn a_budget_ends_attempts_and_throttling() {
    use Action::{Park, Run};
    let s = Duration::from_secs;
    let retry = |after| failed(Reaction::Retry(after));
    let throttled = |after| failed(Reaction::Throttle(after));
    let broke = || Returned::Broke { error: "no".into() };
    #[rustfmt::skip]
    let rows = [
        // what                  budget, attempt, returned      action attempt effects, error
        ("in time",                  31, 1, retry(None),          Run,  2, "e",  "no"),
        ("the next would be late",   30, 1, retry(None),          Park, 2, "e",  "no"),
        ("a delay in time",          70, 1, retry(Some(s(40))),   Run,  2, "e",  "no"),
        ("a delay beyond",           69, 1, retry(Some(s(40))),   Park, 2, "e",  "no"),
        ("attempts used up before",  99, 3, retry(None),          Park, 4, "e",  "no"),
        ("panic or timeout",         31, 1, broke(),              Run,  2, "e",  "no"),
        ("a late one",               30, 1, broke(),              Park, 2, "e",  "no"),
        ("throttled in time",        50, 3, throttled(Some(s(20))), Run,  3, "t", ""),
        ("throttled beyond",         49, 3, throttled(Some(s(20))), Park, 4, "te", "no; given up after 49s"),
        ("throttled, no hint",       30, 3, throttled(None),      Park, 4, "te", "no; given up after 30s"),
    ];
    for (what, budget, attempt_before, returned, action, attempt, effects, error) in rows {
        let policy = POLICY.give_up_after(s(budget));
        let reduced = reduce(&policy, job(attempt_before), returned, NOW, 0.0, parks);
        assert_eq!((reduced.action, reduced.job.attempt), (action, attempt), "{what}");
        assert_eq!(kinds(&reduced.effects), effects, "{what}");
        assert_eq!(reduced.effects.error.map_or_else(String::new, |e| e.error), error, "{what}");
        assert_eq!(reduced.job.began, Some(BEGAN), "{what}");
        assert_eq!(reduced.job.errors, if effects == "t" { 4 } else { 5 }, "{what}");
    }
    // Of a first attempt, the time counts from now on.
    let first = || Snapshot { began: None, ..job(1) };
    let at = |budget| {
        let policy = POLICY.give_up_after(s(budget));
        reduce(&policy, first(), retry(Some(s(40))), NOW, 0.0, parks)
    };
    assert_eq!((at(40).action, at(40).job.began, at(39).action), (Run, Some(NOW), Park));
    // Attempts without end.
    let endless = POLICY.retries(u32::MAX);
    let last = reduce(&endless, job(u32::MAX), retry(None), NOW, 0.0, unasked);
    assert_eq!((last.action, last.job.attempt), (Run, u32::MAX));
}

#[test]
fn what_failed_for_good_moves_on() {
    use Action::{End, Park, Run};
    let s = Duration::from_secs;
    let retry = || failed(Reaction::Retry(None));
    let broke = || Returned::Broke { error: "no".into() };
    let unusable = || Returned::Unusable { error: "no".into() };
    let (parse, done): (Gone, Gone) = (Some(Ok("Parse")), Some(Ok("Done")));
    let cannot: Gone = Some(Err("of this"));
    let why = "no; and `on_failure` came to nothing: of this";
    #[rustfmt::skip]
    let rows = [
        // what           attempt, returned                   on_failure action context, effects, error
        ("attempts used up",    3, retry(),                          parse,  Run,  "after",  "em",  "no"),
        ("the end",             3, retry(),                          done,   End,  "after",  "em",  "no"),
        ("fatal",               1, failed(Reaction::Park),           parse,  Run,  "after",  "em",  "no"),
        ("panic or timeout",    3, broke(),                          parse,  Run,  "before", "em",  "no"),
        ("throttled too long",  2, failed(Reaction::Throttle(Some(s(99)))), parse, Run, "after", "tem", "no; given up after 1m"),
        ("it cannot go there",  3, retry(),                          cannot, Park, "after",  "e",   why),
        ("nothing to hand over",1, unusable(),                       parse,  Park, "before", "e",   "no"),
    ];
    for (what, attempt, returned, to, action, context, effects, said) in rows {
        let on_failure = |job: &Snapshot<Crawl>, error: &str| {
            assert_eq!(
                (job.attempt, text(&job.context), error),
                (attempt, context, said.split("; and").next().unwrap()),
                "{what}"
            );
            to.map(|to| to.map(target).map_err(String::from))
        };
        let policy = POLICY.give_up_after(s(60));
        let Reduced { job, effects: happened, action: then, kicks } =
            reduce(&policy, job(attempt), returned, NOW, 0.0, on_failure);
        assert_eq!((then, &*kinds(&happened), kicks.len()), (action, effects, 0), "{what}");
        let Some(Failing { state: failed, step: 3, attempt: tried, at: NOW, error }) = happened.error else {
            panic!("{what}: no error")
        };
        assert_eq!((failed.name(), tried, &*error), ("Fetch", attempt, said), "{what}");
        assert_eq!((job.errors, job.kicked, text(&job.context)), (5, 5, context), "{what}");
        assert_eq!((job.ready_at, job.delay), (NOW, s(0)), "{what}");
        if action == Park {
            assert_eq!((job.status, job.state, job.step), (Status::Parked, state("Fetch"), 3), "{what}");
            continue;
        }
        let Some(Ok(to)) = to else { panic!("{what}") };
        let Some(Moving { step: 3, from, to: led, at: NOW, attempt: tried }) = happened.moved else {
            panic!("{what}: no move")
        };
        assert_eq!((from.name(), led.name(), tried), ("Fetch", to, attempt), "{what}");
        assert_eq!((job.state.name(), text(&job.data)), (to, to), "{what}");
        assert_eq!((job.step, job.attempt, job.began), (4, 1, None), "{what}");
        assert_eq!(job.status, if action == End { Status::Ended } else { Status::Ready }, "{what}");
    }
}

#[test]
fn effects_say_what_happened() {
    let effects = |returned| reduce(&POLICY, job(2), returned, NOW, 0.0, unasked).effects;
    let Some(Moving { step: 3, from, to, at: NOW, attempt: 2 }) =
        effects(moved("Parse", Duration::ZERO)).moved
    else {
        panic!("no move")
    };
    assert_eq!((from.name(), to.name()), ("Fetch", "Parse"));
    let Some(Failing { state, step: 3, attempt: 2, at: NOW, error }) =
        effects(Returned::Broke { error: "boom".into() }).error
    else {
        panic!("no error")
    };
    assert_eq!((state.name(), error.as_str()), ("Fetch", "boom"));
    let after = Some(Duration::from_secs(20));
    assert_eq!(effects(failed(Reaction::Throttle(after))).throttle, Some(Throttle { after }));
}

#[test]
fn kicks_count_on_from_the_last() {
    let kick = |once: &str| Kicked {
        to: target("Fetch"),
        context: json(once),
        once: Some(once.into()),
        priority: None,
        deadline: None,
    };
    let kicks = vec![kick("a"), kick("b")];
    let step =
        Moved { to: target("Parse"), after: Duration::ZERO, kicks, join: None, context: json("after") };
    let Reduced { job, effects, kicks, .. } =
        reduce(&POLICY, job(1), Returned::Moved(step), NOW, 0.0, unasked);
    assert_eq!((job.step, job.kicked, &*kinds(&effects)), (4, 7, "m"));
    let kicked = |(n, kick): (u64, Kicked<Crawl>)| (n, kick.once.unwrap(), text(&kick.context).to_owned());
    let kicked: Vec<_> = kicks.into_iter().map(kicked).collect();
    assert_eq!(kicked, [(5, "a".into(), "a".into()), (6, "b".into(), "b".into())]);
}

#[test]
fn a_backoff_grows_between_its_bounds() {
    let wait = |attempt, random| {
        let after =
            reduce(&POLICY.retries(9), job(attempt), failed(Reaction::Retry(None)), NOW, random, unasked);
        after.job.ready_at.since(NOW).as_millis()
    };
    assert_eq!([wait(1, 0.0), wait(1, 0.5), wait(2, 0.5), wait(9, 0.999)], [1_000, 1_500, 2_000, 2_998]);
}

#[test]
fn without_retries_the_first_error_parks() {
    let Reduced { job, action, .. } =
        reduce(&Policy::DEFAULT, job(1), failed(Reaction::Retry(None)), NOW, 0.0, parks);
    assert_eq!((action, job.status), (Action::Park, Status::Parked));
}

//! A workflow in which each job has a script.
use std::{
    fmt::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use jorb::{JobId, prelude::*};

/// A job says itself what it does, step by step: a letter for each.
///
/// `d` ends, `g` ends elsewhere, `p` parks, `e` fails once; `(..)` kicks a child that does what is between, `[..]` one with a key;
/// `j` joins and goes on, `q` the same with parked children as done, `t` joins and ends, `n` goes on.
#[workflow(app = Lab, job = String)]
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    #[state(initial, next(Work, Merge, Done, Gone), kick(Work, Done))]
    Work,
    #[state(next(Work, Merge, Done, Gone), kick(Work, Done))]
    Merge,
    #[state(terminal)]
    Done,
    #[state(terminal, alias = "Lost")]
    Gone,
}

/// What merges saw, and what is broken.
#[derive(Clone, Default)]
pub(crate) struct Lab {
    pub(crate) seen: Arc<Mutex<Vec<(JobId, String)>>>,
    pub(crate) delay: Duration,
    /// Jobs that would park do so.
    pub(crate) heals: bool,
}

#[state(concurrency = 4, retries = 2, backoff = "1s..1s")]
async fn work(_: tree::Work, cx: &mut Cx<Tree>) -> Outcome<tree::Work> {
    assert_eq!(cx.children().total(), 0, "it has not waited");
    step(cx)
}

#[state(concurrency = 4, retries = 2, backoff = "1s..1s")]
async fn merge(_: tree::Merge, cx: &mut Cx<Tree>) -> Outcome<tree::Merge> {
    let children = cx.children();
    let in_states = [children.ended_in::<tree::Done>(), children.ended_in::<tree::Gone>()];
    assert_eq!(children.ended(), in_states.iter().sum::<u64>());
    let parked = [children.parked_in::<tree::Work>(), children.parked_in::<tree::Merge>()];
    assert_eq!(children.parked(), parked.iter().sum::<u64>());
    let mut said = format!("{} done, {} gone", in_states[0], in_states[1]);
    if parked != [0, 0] {
        write!(said, ", {} parked at work, {} at merge", parked[0], parked[1]).unwrap();
    }
    let cancelled = [
        children.cancelled_in::<tree::Work>(),
        children.cancelled_in::<tree::Merge>(),
        children.cancelled_in::<tree::Done>(),
    ];
    assert_eq!(children.cancelled(), cancelled.iter().sum::<u64>());
    if cancelled != [0; 3] {
        write!(said, ", cancelled {cancelled:?}").unwrap();
    }
    assert_eq!(
        children.total(),
        children.ended() + children.parked() + children.cancelled() + children.left()
    );
    if children.left() > 0 {
        write!(said, ", {} left", children.left()).unwrap();
    }
    cx.app.seen.lock().unwrap().push((cx.id(), said));
    step(cx)
}

fn step<S>(cx: &mut Cx<Tree>) -> Outcome<S>
where
    S: State<Workflow = Tree>
        + jorb::Transition<tree::Work>
        + jorb::Transition<tree::Merge>
        + jorb::Transition<tree::Done>
        + jorb::Transition<tree::Gone>
        + jorb::Kicks<tree::Work>
        + jorb::Kicks<tree::Done>,
{
    let script = cx.job.clone();
    let mut rest = script.as_str();
    let mut kicks = Vec::new();
    while let Some(close) = [('(', ')'), ('[', ']')].iter().find(|(open, _)| rest.starts_with(*open)) {
        let mut depth = 0;
        let end = rest.find(|c| {
            depth += i32::from("([".contains(c)) - i32::from(")]".contains(c));
            depth == 0
        });
        let end = end.expect("it is closed");
        kicks.push((rest[1..end].to_owned(), close.0 == '['));
        rest = &rest[end + 1..];
    }
    let act = rest.chars().next().unwrap_or('d');
    if act == 'p' && !cx.app.heals {
        return Err(Fault::fatal("no"));
    }
    if act == 'e' {
        cx.job.remove(script.len() - rest.len());
        return Err(Fault::retry("not yet"));
    }
    rest.get(1..).unwrap_or("").clone_into(&mut cx.job);
    let mut next = match act {
        'd' | 't' | 'p' => Next::to(tree::Done),
        'g' => Next::to(tree::Gone),
        'n' => Next::to(tree::Work),
        _ => Next::to(tree::Merge).after(cx.app.delay),
    };
    for (script, once) in kicks {
        next = match (script.as_str(), once) {
            ("", _) => next.kick([Kick::new(tree::Done, script)]),
            (_, false) => next.kick([Kick::new(tree::Work, script)]),
            (_, true) => next.kick([Kick::new(tree::Work, script).once("key")]),
        };
    }
    Ok(match act {
        'j' | 't' => next.when_children_done(),
        'q' => next.when_children_done_or_parked(),
        _ => next,
    })
}

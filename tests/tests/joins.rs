//! Jobs that wait for their children: each sentence of `Next::when_children_done`, on every store.
use std::{collections::BTreeMap, time::Duration};

use jorb::{Clock, Ending, Exit, Processor, Run, Shown, Summary, prelude::*, store::BoxStore};
use jorb_tests::{START, spy::Spy, stores::Kind};

#[path = "joins/flow.rs"]
mod flow;

use flow::{Lab, Tree, tree};

/// A run of jobs that do this.
fn seeded(store: BoxStore<Tree>, scripts: &[&str]) -> Run<Tree> {
    let mut run = Run::open(store).unwrap();
    run.seed((), |jobs| jobs.extend(scripts.iter().map(|s| Kick::new(tree::Work, (*s).to_owned())))).unwrap();
    run
}

async fn drive(run: &mut Run<Tree>, lab: &Lab) -> Summary {
    let summary = Processor::new(lab.clone()).clock(Clock::starting_at(START)).exec(run).await.unwrap();
    check(run);
    summary
}

/// What merges saw since the last time, in order.
fn seen(lab: &Lab) -> Vec<String> {
    let mut seen = std::mem::take(&mut *lab.seen.lock().unwrap());
    seen.sort();
    seen.into_iter().map(|(id, said)| format!("{id}: {said}")).collect()
}

/// How jobs stand.
fn stand(run: &mut Run<Tree>) -> Vec<String> {
    let jobs = run.jobs().into_iter().map(Result::unwrap);
    jobs.map(|job| format!("{} {} {}", job.id(), job.state_name(), job.status())).collect()
}

/// The counts are those of the jobs, and those that join are found where such jobs are.
fn check(run: &mut Run<Tree>) {
    let mut counts = BTreeMap::<_, u64>::new();
    let mut joining = Vec::new();
    for job in run.jobs() {
        let job = job.unwrap();
        *counts.entry((job.state_name(), job.status())).or_default() += 1;
        joining.extend((job.status() == Shown::Joining).then_some(job.id()));
    }
    for state in run.states() {
        let of = |shown| counts.get(&(state.name, shown)).copied().unwrap_or(0);
        let found = (of(Shown::Joining), of(Shown::Parked), of(Shown::Ended), of(Shown::Cancelled));
        assert_eq!((state.joining, state.parked, state.ended, state.cancelled), found, "{}", state.name);
        assert_eq!(state.ready, of(Shown::Ready) + of(Shown::Delayed) + of(Shown::Held), "{}", state.name);
    }
    let mut found: Vec<_> =
        run.jobs().status(Shown::Joining).into_iter().map(|job| job.unwrap().id()).collect();
    found.sort();
    assert_eq!(found, joining);
}

/// On every store.
async fn each<F: Future<Output = ()>>(scripts: &[&str], test: impl Fn(Run<Tree>, Lab, Kind) -> F) {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        test(seeded(kind.at(folder.path()), scripts), Lab::default(), kind).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_merge_sees_how_its_direct_children_ended() {
    each(&["(d)(g)(nnnd)((d)(d)jg)()jd"], |mut run, lab, kind| async move {
        let summary = drive(&mut run, &lab).await;
        assert_eq!((summary.exit(), summary.joining()), (Exit::Complete, 0), "{kind:?}: {summary}");
        assert_eq!(seen(&lab), ["0: 3 done, 2 gone", "4: 2 done, 0 gone"], "{kind:?}");
        assert!(run.is_complete());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn children_of_the_whole_life_count_and_those_of_others_do_not() {
    // Kicks of earlier moves; a second join, after more kicks; a job beside it.
    each(&["(d)(g)n(d)n(d)j(d)n(g)jd", "(g)d"], |mut run, lab, kind| async move {
        let _ = drive(&mut run, &lab).await;
        assert_eq!(seen(&lab), ["0: 3 done, 1 gone", "0: 4 done, 2 gone"], "{kind:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_children_it_goes_on_at_once() {
    each(&["jd", "qt", "t", "([d])j", "[d]([d]j)j"], |mut run, lab, kind| async move {
        let summary = drive(&mut run, &lab).await;
        assert_eq!((summary.exit(), summary.joining()), (Exit::Complete, 0), "{kind:?}: {summary}");
        // Two jobs are kicked with the same key; whoever came later has no child.
        let seen = seen(&lab);
        assert_eq!(seen[..2], ["0: 0 done, 0 gone", "1: 0 done, 0 gone"], "{kind:?}");
        let kicked: usize =
            run.jobs().into_iter().filter(|job| job.as_ref().unwrap().parent().is_some()).count();
        assert_eq!(kicked, 3, "{kind:?}: one for the key, and those who kicked it too");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_child_keeps_it_joining_until_it_is_redriven_and_ends() {
    each(&["(d)(p)jd"], |mut run, lab, kind| async move {
        let summary = drive(&mut run, &lab).await;
        assert_eq!((summary.ending, summary.exit()), (Ending::Complete, Exit::Parked), "{kind:?}");
        assert!(!summary.is_complete() && !run.is_complete());
        let said = summary.to_string();
        assert!(
            said.starts_with("complete, but for 1 parked job and 1 that waits for its children; see"),
            "{said}"
        );
        assert_eq!(stand(&mut run), ["0 Merge joining", "1 Done ended", "2 Work parked"], "{kind:?}");
        assert!(seen(&lab).is_empty());
        // Again in vain, and then well.
        for (heals, expected) in [(false, &[][..]), (true, &["0: 2 done, 0 gone"])] {
            assert_eq!(run.redrive().retry().unwrap(), 1);
            check(&mut run);
            let _ = drive(&mut run, &Lab { heals, ..lab.clone() }).await;
            assert_eq!(seen(&lab), expected, "{kind:?}");
        }
        assert!(run.is_complete());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn parked_is_as_good_as_ended_if_it_says_so() {
    each(&["(d)(p)(jp)(g)qd"], |mut run, lab, kind| async move {
        let summary = drive(&mut run, &lab).await;
        assert_eq!((summary.joining(), summary.parked()), (0, 2), "{kind:?}");
        let at_root: Vec<_> = seen(&lab).into_iter().filter(|said| said.starts_with("0:")).collect();
        assert_eq!(at_root, ["0: 1 done, 1 gone, 1 parked at work, 1 at merge"], "{kind:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn on_a_move_to_a_terminal_state_it_ends_when_they_have() {
    // The inner one ends with its children, and the outer one then.
    each(&["((d)(p)t)(d)jd"], |mut run, lab, kind| async move {
        let _ = drive(&mut run, &lab).await;
        let stood = ["0 Merge joining", "1 Done joining", "2 Done ended", "3 Done ended", "4 Work parked"];
        assert_eq!(stand(&mut run), stood, "{kind:?}");
        run.redrive().retry().unwrap();
        let summary = drive(&mut run, &Lab { heals: true, ..lab.clone() }).await;
        assert_eq!(seen(&lab), ["0: 2 done, 0 gone"], "{kind:?}");
        assert_eq!((summary.exit(), summary.jobs("Done")), (Exit::Complete, 5));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_delay_begins_when_its_children_are_done() {
    each(&["(eed)jd"], |mut run, lab, kind| async move {
        let _ = drive(&mut run, &Lab { delay: Duration::from_secs(100), ..lab.clone() }).await;
        let (parent, child) = (run.job(0).unwrap(), run.job(1).unwrap());
        let (child, merged) = (child.story.lines.last().unwrap(), parent.story.lines.last().unwrap());
        assert_eq!(child.at.since(parent.story.lines[0].at), Duration::from_secs(2), "{kind:?}");
        assert_eq!(merged.at.since(child.at), Duration::from_secs(100), "{kind:?}");
        assert_eq!(merged.waited, Duration::ZERO, "{kind:?}: a delay is no waiting");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_holds_nothing_meanwhile() {
    // Five join in a state of four slots, and their children need one of them.
    each(&["((d)jd)j"; 9], |mut run, lab, kind| async move {
        let summary = drive(&mut run, &lab).await;
        assert_eq!((summary.exit(), seen(&lab).len()), (Exit::Complete, 18), "{kind:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_ended_child_that_is_redriven_is_waited_for_again_unless_it_is_over() {
    each(&["(d)(p)jep", "(d)jp"], |mut run, lab, kind| async move {
        let _ = drive(&mut run, &lab).await;
        assert_eq!(seen(&lab), ["1: 1 done, 0 gone"], "{kind:?}");
        // Both ended children go back; one parent still joins, the other one has merged, and is parked.
        let back = run.redrive().in_state::<tree::Done>().to(|_, script| {
            "p".clone_into(script);
            tree::Work
        });
        assert_eq!(back.unwrap(), 2);
        check(&mut run);
        run.redrive().job("0->1").unwrap().retry().unwrap();
        let healed = Lab { heals: true, ..lab.clone() };
        run.set_held("Work", false).unwrap();
        let _ = drive(&mut run, &lab).await;
        let ids: Vec<_> = stand(&mut run).into_iter().filter(|job| job.contains("joining")).collect();
        assert_eq!(ids, ["0 Merge joining"], "{kind:?}: two children are parked now");
        assert!(seen(&lab).is_empty());
        run.redrive().state("Work").unwrap().limit(1).retry().unwrap();
        let _ = drive(&mut run, &healed).await;
        assert!(seen(&lab).is_empty(), "{kind:?}: one is left");
        run.redrive().retry().unwrap();
        let _ = drive(&mut run, &healed).await;
        // What the other one saw is what it saw at first, on each attempt.
        let expected = ["0: 2 done, 0 gone", "0: 2 done, 0 gone", "1: 1 done, 0 gone"];
        assert_eq!(seen(&lab), expected, "{kind:?}");
        assert!(run.is_complete());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_moves_it_ends_its_join() {
    each(&["(p)jd", "(p)jd"], |mut run, lab, kind| async move {
        let _ = drive(&mut run, &lab).await;
        // One goes elsewhere, and one goes on without its child.
        run.redrive().job(0).unwrap().to_state("Gone", None).unwrap();
        assert_eq!(run.redrive().status(Shown::Joining).retry().unwrap(), 1);
        check(&mut run);
        let _ = drive(&mut run, &lab).await;
        assert_eq!(seen(&lab), ["1: 0 done, 0 gone, 1 left"], "{kind:?}");
        // The end of their children changes nothing.
        run.redrive().retry().unwrap();
        let summary = drive(&mut run, &Lab { heals: true, ..lab.clone() }).await;
        assert_eq!(
            (summary.exit(), summary.jobs("Gone"), seen(&lab).len()),
            (Exit::Complete, 1, 0),
            "{kind:?}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_ends_the_last_child_ends_the_join() {
    each(&["(d)(p)jnd", "(p)jp"], |mut run, lab, kind| async move {
        let _ = drive(&mut run, &lab).await;
        assert_eq!(run.redrive().to_state("Gone", None).unwrap(), 2, "{kind:?}");
        check(&mut run);
        assert_eq!(stand(&mut run)[..2], ["0 Merge ready", "1 Merge ready"], "{kind:?}");
        // One is moved away before it has merged, and sees nothing there.
        run.redrive().job(1).unwrap().to_state("Work", None).unwrap();
        let summary = drive(&mut run, &Lab { heals: true, ..lab.clone() }).await;
        assert_eq!(
            (summary.exit(), seen(&lab)),
            (Exit::Complete, vec!["0: 1 done, 1 gone".into()]),
            "{kind:?}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn held_children_keep_it_and_the_run_ends() {
    each(&["(d)jd"], |mut run, lab, kind| async move {
        run.set_held("Work", true).unwrap();
        let _ = drive(&mut run, &lab).await;
        run.set_held("Work", false).unwrap();
        run.set_held("Merge", true).unwrap();
        let summary = drive(&mut run, &lab).await;
        assert_eq!((summary.ending, summary.exit()), (Ending::Complete, Exit::Stopped), "{kind:?}");
        assert_eq!(stand(&mut run), ["0 Merge held", "1 Done ended"], "{kind:?}");
        run.set_held("Merge", false).unwrap();
        assert_eq!(drive(&mut run, &lab).await.exit(), Exit::Complete);
        assert_eq!(seen(&lab), ["0: 1 done, 0 gone"], "{kind:?}");
    })
    .await;
}

/// From each store into each.
#[tokio::test(start_paused = true)]
async fn an_import_waits_for_what_is_left() {
    for (from, to) in Kind::ALL.into_iter().flat_map(|from| Kind::ALL.map(|to| (from, to))) {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let lab = Lab::default();
        let mut run = seeded(from.at(folders[0].path()), &["(d)(p)jd", "(d)(p)qp", "((p)t)jd"]);
        let _ = drive(&mut run, &lab).await;
        assert_eq!(seen(&lab), ["1: 1 done, 0 gone, 1 parked at work, 0 at merge"]);
        let before = stand(&mut run);
        let mut text = Vec::new();
        run.export(&mut text).unwrap();
        let store = Spy::watched(to.at(folders[1].path()), ());
        Run::<Tree>::import(store.clone(), std::io::Cursor::new(text)).unwrap();
        let mut run = Run::open(store).unwrap();
        assert_eq!(stand(&mut run), before, "{from:?} to {to:?}");
        check(&mut run);
        run.redrive().retry().unwrap();
        let summary = drive(&mut run, &Lab { heals: true, ..lab.clone() }).await;
        assert_eq!(summary.exit(), Exit::Complete, "{from:?} to {to:?}: {summary}");
        let expected =
            ["0: 2 done, 0 gone", "1: 1 done, 0 gone, 1 parked at work, 0 at merge", "2: 1 done, 0 gone"];
        assert_eq!(seen(&lab), expected, "{from:?} to {to:?}");
    }
}

/// What a person does to a document is what the join sees.
#[tokio::test(start_paused = true)]
async fn a_document_is_counted_anew_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::default();
    let mut run = seeded(Kind::Json.at(folder.path()), &["(d)(p)jd"]);
    let _ = drive(&mut run, &lab).await;
    run.close().unwrap();
    let path = folder.path().join("run.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(r#""left": 1"#), "{text}");
    let edited = text.replace(r#""status": "parked""#, r#""status": "ended""#);
    let edited = edited.replacen(r#""state": "Work""#, r#""state": "Gone""#, 1);
    std::fs::write(&path, edited).unwrap();
    let mut run = Run::<Tree>::open(Kind::Json.at(folder.path())).unwrap();
    check(&mut run);
    let summary = drive(&mut run, &lab).await;
    assert_eq!((summary.exit(), seen(&lab)), (Exit::Complete, vec!["0: 1 done, 1 gone".to_owned()]));
}

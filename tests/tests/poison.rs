//! A job that kills its process each time is parked, and nobody else: real processes, real deaths.
use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use jorb::{JobId, Run, Status};
use jorb_tests::{
    poison::{Batch, CRASHES, Deed},
    spy::Spy,
    stores::Kind,
    walk::mix,
};

const JOBS: usize = 200;

fn deeds(guilty: &[(usize, Deed)]) -> Vec<Deed> {
    let mut deeds = vec![Deed::Innocent; JOBS];
    for (job, deed) in guilty {
        deeds[*job] = *deed;
    }
    deeds
}

fn spawn(kind: Kind, folder: &Path, deeds: &[Deed]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_poison_child"))
        .args([&format!("{kind:?}"), folder.to_str().unwrap(), &serde_json::to_string(deeds).unwrap()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// Whether it was complete; if not, it was killed.
fn wait(child: &mut Child) -> bool {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success() || status.code().is_none(), "a child failed");
            return status.success();
        }
        if began.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("a child hangs");
        }
        sleep(Duration::from_millis(1));
    }
}

/// Starts the program again until the run is complete. Gives how often it died.
fn to_the_end(kind: Kind, folder: &Path, deeds: &[Deed]) -> u32 {
    let most = 40;
    (0..most).find(|_| wait(&mut spawn(kind, folder, deeds))).expect("the run is never complete")
}

/// Panics unless exactly these are parked, with an error, and all others have ended.
fn check_parked(kind: Kind, folder: &Path, parked: &[usize]) {
    let spy = Spy::<Batch>::watched(kind.at(folder), ());
    let jobs = spy.jobs();
    assert_eq!(jobs.len(), JOBS);
    for record in jobs {
        let id = record.job.id;
        let is_parked = parked.iter().any(|job| JobId(*job as u64) == id);
        let status = if is_parked { Status::Parked } else { Status::Ended };
        assert_eq!(record.job.status, status, "{kind:?}: {id}");
        let errors = spy.story(id.0).errors;
        assert_eq!(errors.len(), usize::from(is_parked), "{kind:?}: {id}");
        for error in errors {
            assert_eq!(error.state, "Work");
            assert_eq!(error.error, "its step killed the process 3 times while nothing else ran");
        }
    }
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    assert!(!left.iter().any(|f| f.extension().is_some_and(|ext| ext == "steps")), "{left:?}");
}

/// How often each job's step killed the process, and how often while it ran alone, as far as steps themselves know.
fn deaths(folder: &Path) -> HashMap<String, u32> {
    let mut deaths = HashMap::new();
    for line in fs::read_to_string(folder.join("log")).unwrap().lines() {
        if let Some(job) = line.strip_prefix("dies ") {
            *deaths.entry(job.to_owned()).or_default() += 1;
        }
    }
    deaths
}

fn with_both(test: impl Fn(Kind, &Path)) {
    for kind in [Kind::Sqlite, Kind::Json] {
        test(kind, tempfile::tempdir().unwrap().path());
    }
}

#[test]
fn one_poison_job_is_parked_and_all_others_end() {
    with_both(|kind, folder| {
        let deeds = deeds(&[(57, Deed::Poison)]);
        let died = to_the_end(kind, folder, &deeds);
        check_parked(kind, folder, &[57]);
        assert_eq!(died, 1 + CRASHES, "{kind:?}: once among others, and then alone");
    });
}

#[test]
fn two_poison_jobs_are_parked() {
    for (first, second) in [(50, 51), (50, 150), (0, 199)] {
        with_both(|kind, folder| {
            let deeds = deeds(&[(first, Deed::Poison), (second, Deed::Poison)]);
            let died = to_the_end(kind, folder, &deeds);
            check_parked(kind, folder, &[first, second]);
            assert!((1 + 2 * CRASHES..=2 + 2 * CRASHES).contains(&died), "{kind:?}: {died}");
        });
    }
}

#[test]
fn who_dies_once_is_not_parked() {
    with_both(|kind, folder| {
        let deeds = deeds(&[(57, Deed::Heals), (58, Deed::Heals), (120, Deed::Heals)]);
        let died = to_the_end(kind, folder, &deeds);
        check_parked(kind, folder, &[]);
        assert!((1..=3).contains(&died), "{kind:?}: {died}");
    });
}

#[test]
fn redriven_it_has_all_its_deaths_again() {
    with_both(|kind, folder| {
        let deeds = deeds(&[(3, Deed::Poison)]);
        assert_eq!(to_the_end(kind, folder, &deeds), 1 + CRASHES);
        let mut run = Run::<Batch>::open(kind.at(folder)).unwrap();
        assert_eq!(run.redrive().retry().unwrap(), 1);
        run.close().unwrap();
        assert_eq!(to_the_end(kind, folder, &deeds), 1 + CRASHES, "{kind:?}");
        assert_eq!(deaths(folder)["3"], 2 * (1 + CRASHES));
    });
}

#[test]
fn kills_from_outside_park_no_innocent_job() {
    with_both(|kind, folder| {
        let deeds = deeds(&[(57, Deed::Poison)]);
        let mut dice = mix(1);
        for _ in 0..20 {
            let mut child = spawn(kind, folder, &deeds);
            dice = mix(dice);
            sleep(Duration::from_micros(dice % 60_000));
            child.kill().unwrap();
            wait(&mut child);
        }
        to_the_end(kind, folder, &deeds);
        check_parked(kind, folder, &[57]);
    });
}

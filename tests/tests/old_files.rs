//! Files that earlier versions of jorb wrote, and today's: each is opened, and goes on where it was.
use std::{fs, path::Path, process::Command, time::Duration};

use jorb::{Error, JobId, Processor, Run, Shown, Summary, Timestamp};
use jorb_tests::{
    parcels::{Depot, Parcel, Parcels, SEEDS, Tariff, seed, trips},
    stores::Kind,
};
use rusqlite::Connection;
use tempfile::TempDir;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Far {
    /// Seeded, and never driven.
    Seeded,
    /// Killed while it was driven.
    Driven,
}

/// Who wrote a run: jorb of a format, or of today.
#[derive(Debug, Clone, Copy)]
enum Writer {
    Format(u32),
    Today,
}

const FORMATS: [u32; 2] = [1, 2];

/// Every kind of run by everybody who wrote one.
fn each() -> impl Iterator<Item = (TempDir, Kind, Far)> {
    let writers = FORMATS.map(Writer::Format).into_iter().chain([Writer::Today]);
    let each = writers.flat_map(|writer| Kind::DURABLE.map(|kind| (writer, kind)));
    each.flat_map(|(writer, kind)| {
        [Far::Seeded, Far::Driven].map(|far| (written(writer, kind, far), kind, far))
    })
}

/// A folder with such a run.
fn written(writer: Writer, kind: Kind, far: Far) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    match writer {
        Writer::Format(format) => {
            let old = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("old/format-{format}"));
            restore(&old, kind, far, folder.path());
        }
        Writer::Today => {
            for part in if far == Far::Seeded { &["begin"][..] } else { &["begin", "drive"] } {
                let args = [part, &*format!("{kind:?}"), folder.path().to_str().unwrap()];
                let status = Command::new(env!("CARGO_BIN_EXE_parcels")).args(args).status().unwrap();
                assert!(status.success());
            }
        }
    }
    folder
}

/// Makes files of what is kept of them as text.
fn restore(old: &Path, kind: Kind, far: Far, to: &Path) {
    let text = |name: &str| fs::read_to_string(old.join(name)).unwrap();
    match (kind, far) {
        (Kind::Sqlite, _) => {
            let dump = text(if far == Far::Seeded { "seeded.sql" } else { "driven.sql" });
            Connection::open(to.join("run.jorb")).unwrap().execute_batch(&dump).unwrap();
        }
        // The document was written before the run was driven. What happened since then is in the log.
        (_, Far::Seeded) => fs::write(to.join("run.json"), text("driven.json")).unwrap(),
        (_, Far::Driven) => {
            restore(old, kind, Far::Seeded, to);
            fs::write(to.join("run.json.log"), text("driven.json.log")).unwrap();
        }
    }
}

/// The format that a run has now.
fn format(kind: Kind, folder: &Path) -> u64 {
    if kind == Kind::Sqlite {
        let conn = Connection::open(folder.join("run.jorb")).unwrap();
        return conn.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0)).unwrap().into();
    }
    let document: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("run.json")).unwrap()).unwrap();
    document["jorb"].as_u64().unwrap()
}

/// How many jobs there are in each state, and how they stand. What was delayed when an old file was written is so no
/// longer: it counts as ready.
fn counts(run: &mut Run<Parcels>) -> Vec<(&'static str, Shown, usize)> {
    let mut counts = Vec::new();
    for state in ["Weigh", "Inspect", "Pack", "Ship", "Delivered", "Refused"] {
        for status in [Shown::Ready, Shown::Delayed, Shown::Held, Shown::Parked, Shown::Ended] {
            let jobs = run.jobs().state(state).unwrap().status(status).into_iter().count();
            // Its time has come since the files were written.
            let status = if (state, status) == ("Ship", Shown::Delayed) { Shown::Ready } else { status };
            counts.extend((jobs > 0).then_some((state, status, jobs)));
        }
    }
    counts
}

fn moves(run: &mut Run<Parcels>, job: u64) -> Vec<(String, String)> {
    let lines = run.job(job).unwrap().story.lines;
    lines.iter().map(|line| (line.from.to_string(), line.to.to_string())).collect()
}

fn way<const N: usize>(states: [&str; N]) -> Vec<(String, String)> {
    states.windows(2).map(|two| (two[0].into(), two[1].into())).collect()
}

const WAY: [&str; 4] = ["Weigh", "Pack", "Ship", "Delivered"];

#[test]
fn a_seeded_run_is_read_as_it_was_written() {
    for (folder, kind, _) in each().filter(|(.., far)| *far == Far::Seeded) {
        let before = format(kind, folder.path());
        let mut run = Run::<Parcels>::read(kind.at(folder.path())).unwrap();
        assert!(run.is_seeded() && run.check().unwrap().is_empty(), "{kind:?}");
        assert_eq!(run.overall().unwrap(), Tariff { most_grams: 30_000 });
        assert_eq!(counts(&mut run), [("Weigh", Shown::Ready, SEEDS.len())]);
        let what = run.jobs().into_iter().map(|job| job.unwrap().load_context().unwrap().what);
        assert_eq!(what.collect::<Vec<_>>(), SEEDS);
        assert_eq!(format(kind, folder.path()), before, "{kind:?}");
    }
}

#[test]
fn a_run_that_was_killed_is_read_as_it_was_written() {
    for (folder, kind, _) in each().filter(|(.., far)| *far == Far::Driven) {
        let mut run = Run::<Parcels>::read(kind.at(folder.path())).unwrap();
        assert!(run.check().unwrap().is_empty(), "{kind:?}");
        assert_eq!(run.held(), ["Inspect"]);
        let expected = [
            ("Weigh", Shown::Ready, 4),
            ("Inspect", Shown::Held, 1),
            ("Pack", Shown::Parked, 1),
            ("Ship", Shown::Ready, 1),
            ("Delivered", Shown::Ended, 3),
            ("Refused", Shown::Ended, 1),
        ];
        assert_eq!(counts(&mut run), expected, "{kind:?}");

        let parent = run.job(0).unwrap();
        assert_eq!((parent.step(), parent.attempt(), parent.kicked()), (3, 1, 3));
        let [first, ..] = &parent.story.lines[..] else { panic!("{kind:?}") };
        assert_eq!((first.step, first.first_child, first.children), (0, Some(JobId(9)), 3));
        assert!(parent.story.lines.is_sorted_by_key(|line| (line.id, line.at)));
        assert!(parent.story.lines.iter().all(|line| line.ran > Duration::ZERO));
        assert_eq!(moves(&mut run, 0), way(WAY));
        let child = run.job("0->2").unwrap();
        assert_eq!(child.load_context().unwrap(), Parcel { what: "plate".into(), grams: 300 });
        assert_eq!(child.once.as_ref().map(|once| (once.state.name(), &*once.key)), Some(("Weigh", "plate")));
        assert!(matches!(run.job("0->1").err(), Some(Error::NoSuchJob(_))), "its key was taken");

        let parked = run.job(2).unwrap();
        let [error] = &parked.story.errors[..] else { panic!("{kind:?}") };
        assert_eq!((&*error.error, &*error.state, error.step, error.attempt), ("it broke", "Pack", 1, 1));
        let again = run.job(3).unwrap();
        assert_eq!(again.story.lines.iter().map(|line| line.attempt).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!(again.story.errors[0].error, "no envelope");
        let delayed = run.job(4).unwrap();
        let packed = delayed.story.lines[1].at;
        assert_eq!(delayed.ready_at(), packed + Duration::from_secs(3600));
        let refused = run.job(1).unwrap();
        assert_eq!(refused.state_json().unwrap().as_deref(), Some(r#"{"reason":"80000 g"}"#));
        let long = run.job(6).unwrap();
        let dropped: u64 = long.story.dropped.iter().map(|dropped| dropped.lines).sum();
        assert_eq!(
            (long.step(), long.story.lines.len() as u64 + dropped),
            (trips(kind) + 2, trips(kind) + 2)
        );
        assert_eq!(dropped > 0, kind == Kind::Sqlite);
    }
}

#[test]
fn a_run_that_is_opened_to_be_driven_is_of_todays_format() {
    for (folder, kind, far) in each() {
        drop(Run::<Parcels>::open(kind.at(folder.path())).unwrap());
        assert_eq!(format(kind, folder.path()), 3, "{kind:?} {far:?}");
        let run = Run::<Parcels>::read(kind.at(folder.path())).unwrap();
        assert!(run.is_seeded(), "{kind:?} {far:?}");
    }
}

/// Drives a run to its end, and nothing goes wrong any more.
async fn drive(kind: Kind, folder: &Path) -> (Run<Parcels>, Summary) {
    let mut run = Run::<Parcels>::open(kind.at(folder)).unwrap();
    run.set_held("Inspect", false).unwrap();
    run.redrive().retry().unwrap();
    let summary = Processor::new(Depot::default()).exec(&mut run).await.unwrap();
    (run, summary)
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_to_its_end() {
    for (folder, kind, far) in each() {
        let (mut run, summary) = drive(kind, folder.path()).await;
        assert!(summary.is_complete(), "{kind:?} {far:?}");
        // The keys and numbers of that time are taken; a second cup takes a number too.
        assert_eq!(run.add(seed("cup").once("cup")).unwrap(), None);
        assert_eq!(run.add(seed("box").once("box")).unwrap(), Some(JobId(13)));
        drop(run);
        let (_, summary) = drive(kind, folder.path()).await;
        assert_eq!((summary.jobs("Delivered"), summary.jobs("Refused")), (11, 1), "{kind:?} {far:?}");

        let mut run = Run::<Parcels>::read(kind.at(folder.path())).unwrap();
        assert_eq!(run.newest(), Some(JobId(13)));
        for job in [0, 2, 3, 4, 7, 8, 9, 11, 13] {
            assert_eq!(moves(&mut run, job), way(WAY), "{kind:?} {far:?}: {job}");
        }
        assert_eq!(moves(&mut run, 5), way(["Weigh", "Inspect", "Pack", "Ship", "Delivered"]));
        let errors = |run: &mut Run<Parcels>, job: u64| run.job(job).unwrap().story.errors.len();
        assert_eq!(errors(&mut run, 2), usize::from(far == Far::Driven));
        assert_eq!(errors(&mut run, 3), 1);
        assert!(run.jobs().into_iter().all(|job| job.unwrap().ready_at() > Timestamp(0)));
        if kind == Kind::Sqlite {
            sound(&folder.path().join("run.jorb"));
        }
    }
}

/// What a file says twice, it says alike.
fn sound(path: &Path) {
    let conn = Connection::open(path).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut read = conn.prepare(sql).unwrap();
        read.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(texts("PRAGMA integrity_check"), ["ok"]);
    let in_jobs = "SELECT state || ' ' || status || ' ' || count(*) FROM job GROUP BY state, status";
    let counted =
        "SELECT state || ' ' || status || ' ' || jobs FROM count WHERE jobs > 0 ORDER BY state, status";
    assert_eq!(texts(in_jobs), texts(counted));
    let ended = "SELECT job || '' FROM place WHERE status = 2 ORDER BY job";
    assert_eq!(texts(ended), texts("SELECT id || '' FROM job ORDER BY id"));
    assert_eq!(texts("SELECT block || '' FROM moving"), [""; 0]);
    // Its views are today's.
    for (view, at, jobs) in [("jobs", "ready_at", "id"), ("moves", "at", "job"), ("errors", "at", "job")] {
        let shown = texts(&format!("SELECT {at} FROM {view} ORDER BY {jobs} LIMIT 1"));
        assert!(shown[0].starts_with("20") && shown[0].ends_with('Z') && shown[0].len() == 24, "{shown:?}");
        let bare =
            texts(&format!("SELECT name FROM sqlite_schema WHERE name = '{view}' AND sql LIKE '% at / %'"));
        assert_eq!(bare, [""; 0]);
    }
}

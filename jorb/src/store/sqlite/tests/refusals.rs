//! What is not a run of this workflow is refused, and left as it was.
use std::{fs, path::Path};

use rusqlite::Connection;

use super::fixture::*;
use crate::{
    Error, Workflow,
    store::{Access, Header, SqliteStore, Store},
};

fn refusal<W: Workflow>(path: &Path, access: Access) -> Error {
    let before = fs::read(path).ok();
    let opened: Result<_, Error> = Store::<W>::open(&mut SqliteStore::at(path), access).map(drop);
    assert!(before == fs::read(path).ok(), "the file was changed");
    opened.unwrap_err()
}

/// A run with jobs in all states, closed.
fn closed() -> Bench {
    let mut bench = Bench::new();
    let mut batch = bench.batch();
    batch.added = (0..300).map(|i| bench.new_job(i % 3)).collect();
    bench.commit(batch);
    Store::<Flow>::close(&mut bench.store).unwrap();
    bench
}

#[test]
fn a_text_is_not_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "once upon a time there was a file of many words\n".repeat(100)).unwrap();
    for access in [Access::Drive, Access::Read] {
        let e = refusal::<Flow>(&path, access);
        assert!(matches!(e, Error::NotARun { .. }), "{e}");
    }
}

#[test]
fn a_database_of_another_program_is_not_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE run(id)").unwrap();
    for access in [Access::Drive, Access::Read] {
        let e = refusal::<Flow>(&path, access);
        assert!(matches!(&e, Error::NotARun { reason, .. } if reason.contains("another program")), "{e}");
    }
}

#[test]
fn an_empty_file_is_a_new_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jorb");
    fs::write(&path, "").unwrap();
    let e = refusal::<Flow>(&path, Access::Read);
    assert!(matches!(e, Error::NoRun { .. }), "{e}");
    let header = Store::<Flow>::open(&mut SqliteStore::at(&path), Access::Drive).unwrap();
    assert_eq!(header.counts.total(), 0);
}

#[test]
fn a_file_that_was_cut_is_damaged() {
    let bench = closed();
    let whole = fs::read(bench.path()).unwrap();
    for part in [50, 1_000, 4_096, whole.len() / 2, whole.len() - 4_096, whole.len() - 1] {
        fs::write(bench.path(), &whole[..part]).unwrap();
        for access in [Access::Drive, Access::Read] {
            let e = refusal::<Flow>(&bench.path(), access);
            assert!(matches!(e, Error::Damaged { .. }), "{part}: {e}");
        }
    }
}

#[test]
fn a_page_of_rubbish_is_damage_and_no_panic() {
    let bench = closed();
    let whole = fs::read(bench.path()).unwrap();
    let mut damaged = 0;
    for page in 0..whole.len() / 4_096 {
        let mut bytes = whole.clone();
        bytes[page * 4_096 + 100 * usize::from(page == 0)..][..512].fill(0xa5);
        fs::write(bench.path(), bytes).unwrap();
        let mut store = SqliteStore::at(bench.path());
        let read = Store::<Flow>::open(&mut store, Access::Read)
            .and_then(|_| Store::<Flow>::moving(&mut store))
            .and_then(|_| Store::<Flow>::page(&mut store, crate::JobId(0), 1_000));
        match read {
            Ok(_) => {}
            Err(Error::Damaged { .. }) => damaged += 1,
            Err(e) => panic!("page {page}: {e}"),
        }
    }
    assert!(damaged > 5);
}

#[test]
fn a_run_without_a_table_is_damaged() {
    let bench = closed();
    bench.look().execute_batch("DROP VIEW moves; DROP TABLE line").unwrap();
    let e = refusal::<Flow>(&bench.path(), Access::Drive);
    assert!(matches!(&e, Error::Damaged { reason, .. } if reason.contains("`line`")), "{e}");
}

#[test]
fn a_run_without_a_column_or_a_row_is_damaged() {
    for change in
        ["ALTER TABLE run RENAME COLUMN clean TO dirty", "DELETE FROM run", "UPDATE run SET seeding = 'x'"]
    {
        let bench = closed();
        bench.look().execute_batch(change).unwrap();
        let e = refusal::<Flow>(&bench.path(), Access::Read);
        assert!(matches!(&e, Error::Damaged { .. }), "{change}: {e}");
    }
}

#[test]
fn numbers_that_are_given_out_twice_are_damage() {
    let mut bench = Bench::new();
    let mut batch = bench.batch();
    batch.added = vec![bench.new_job(FETCH)];
    bench.commit(batch);
    let before = bench.job(0).unwrap();
    let mut batch = bench.batch();
    batch.changes = vec![bench.step(&before, PARSE, crate::Status::Ready)];
    bench.commit(batch);
    let before = bench.job(0).unwrap();
    bench.next.line = 1;
    let mut batch = bench.batch();
    batch.changes = vec![bench.step(&before, PARSE, crate::Status::Ready)];
    let e = bench.store.commit(&batch).unwrap_err();
    assert!(matches!(&e, Error::Damaged { .. }), "{e}");
}

#[test]
fn counts_that_are_too_low_are_damage() {
    let mut bench = closed();
    bench.look().execute("UPDATE count SET jobs = 0", []).unwrap();
    let _: Header<Flow> = bench.store.open(Access::Drive).unwrap();
    let before = bench.job(0).unwrap();
    let mut batch = bench.batch();
    batch.changes = vec![bench.step(&before, PARSE, crate::Status::Ready)];
    let e = bench.store.commit(&batch).unwrap_err();
    assert!(matches!(&e, Error::Damaged { .. }), "{e}");
}

#[test]
fn a_newer_format_asks_for_an_upgrade() {
    let bench = closed();
    bench.look().pragma_update(None, "user_version", 4).unwrap();
    for access in [Access::Drive, Access::Read] {
        let e = refusal::<Flow>(&bench.path(), access);
        assert!(
            matches!(&e, Error::Format { path, found: 4, known: 3 } if path.ends_with("run.jorb")),
            "{e}"
        );
        assert!(e.to_string().ends_with("knows formats up to 3; upgrade jorb"), "{e}");
    }
}

#[test]
fn a_format_that_nobody_wrote_is_not_taken_for_one() {
    let bench = closed();
    for (format, reason) in [(0, "its format is 0"), (-1, "out of range")] {
        bench.look().pragma_update(None, "user_version", format).unwrap();
        for access in [Access::Drive, Access::Read] {
            let e = refusal::<Flow>(&bench.path(), access);
            assert!(matches!(&e, Error::Damaged { reason: said, .. } if said.contains(reason)), "{e}");
        }
    }
}

#[test]
fn a_run_of_another_workflow_is_named() {
    let bench = closed();
    for access in [Access::Drive, Access::Read] {
        let e = refusal::<Other>(&bench.path(), access);
        assert!(
            matches!(&e, Error::OtherWorkflow { found, expected: "other", .. } if found == "flow"),
            "{e}"
        );
    }
}

#[test]
fn unknown_states_are_counted_and_the_nearest_named() {
    let bench = closed();
    for access in [Access::Drive, Access::Read] {
        let Error::UnknownStates { states, .. } = refusal::<Fewer>(&bench.path(), access) else { panic!() };
        let states: Vec<_> = states.iter().map(|s| (&*s.name, s.jobs, s.nearest)).collect();
        assert_eq!(states, [("Fetch", 100, None), ("Parse", 100, Some("Parsed"))]);
    }
}

#[test]
fn an_unknown_state_without_jobs_is_the_past() {
    let mut bench = Bench::new();
    Store::<Flow>::close(&mut bench.store).unwrap();
    Store::<Fewer>::open(&mut bench.store, Access::Drive).unwrap();
}

#[test]
fn one_process_drives_a_run() {
    let bench = Bench::new();
    let e = Store::<Flow>::open(&mut SqliteStore::at(bench.path()), Access::Drive).map(drop).unwrap_err();
    assert!(matches!(e, Error::InUse { pid, .. } if pid == std::process::id()), "{e}");
}

#[test]
fn looking_at_nothing_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["run.jorb", "no/such/folder/run.jorb"] {
        let e = refusal::<Flow>(&folder.path().join(path), Access::Read);
        assert!(matches!(e, Error::NoRun { .. }), "{e}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_place_where_nothing_can_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let e = refusal::<Flow>(&folder.path().join("no/such/run.jorb"), Access::Drive);
    assert!(matches!(&e, Error::Disk { path, .. } if path.ends_with("run.jorb")), "{e}");
    let e = refusal::<Flow>(folder.path(), Access::Drive);
    assert!(matches!(&e, Error::Disk { .. }), "{e}");
}

//! JSON documents, and their logs.
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use jorb::{
    JsonStore, Run,
    store::{Access, Store},
};
use serde_json::Value;

use super::check;
use crate::flow::Flow;

/// Any bytes are a whole run, or are refused and left as they are. Behind a zero byte come the commits of the log: they
/// get checksums, so that what they say is looked at.
pub fn document(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let mut parts = bytes.splitn(2, |b| *b == 0);
    let document = parts.next().unwrap_or_default();
    fs::write(&path, document).unwrap();
    if let Some(commits) = parts.next() {
        fs::write(folder.path().join("run.json.log"), log(document, commits)).unwrap();
    }
    let before = files(folder.path());

    let read = JsonStore::<Flow>::at(&path).open(Access::Read);
    assert_eq!(files(folder.path()), before, "looking changed it");
    let mut store = JsonStore::<Flow>::at(&path);
    let header = match store.open(Access::Drive) {
        Ok(header) => header,
        Err(e) => {
            assert!(!e.to_string().is_empty());
            assert!(read.is_err(), "it can be looked at: {e}");
            assert_eq!(files(folder.path()), before, "what is refused is left alone: {e}");
            return;
        }
    };
    assert_eq!(read.expect("it can be driven").counts, header.counts);
    let said = check(&mut store, &header);
    store.close().unwrap();
    drop(store);

    let mut again = JsonStore::<Flow>::at(&path);
    let header = again.open(Access::Drive).expect("it was written by us");
    assert_eq!(check(&mut again, &header), said, "it is not what was written");
    again.close().unwrap();
    drop(again);
    let before = files(folder.path());
    if Run::<Flow>::open(JsonStore::at(&path)).is_err() {
        assert_eq!(files(folder.path()), before, "what is refused is left alone");
    }
}

/// All there is, but for the lock.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension() != Some("lock".as_ref()))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// A log of this document.
fn log(document: &[u8], commits: &[u8]) -> Vec<u8> {
    let head: Value = serde_json::from_slice(document).unwrap_or_default();
    let run = head["run"].as_str().unwrap_or("00000000-0000-0000-0000-000000000000");
    let generation = head["generation"].as_u64().unwrap_or(0);
    let mut log = Vec::new();
    for (n, commit) in commits.split(|b| *b == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let n = n + 1;
        let tie = format!("{run} {generation} {n} ");
        let sum = tie.bytes().chain(commit.iter().copied());
        let sum =
            sum.fold(0xcbf2_9ce4_8422_2325_u64, |sum, b| (sum ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let start = format!(r#"{{"run":"{run}","generation":{generation},"n":{n},"sum":{sum},"commit":"#);
        log.extend([start.as_bytes(), commit, b"}\n"].concat());
    }
    log
}

//! Garbage behind the last commit in the write-ahead log, as a process leaves it that dies while it writes.
use std::{fs, io, path::Path};

use super::dice::Dice;

const HEADER: usize = 32;
const FRAME: usize = 24;

/// Up to where a log is valid, and what a next frame would go on from.
struct End {
    at: usize,
    sum: Sum,
    page: usize,
    salts: [u8; 8],
}

/// Leaves something behind the last commit of the log at `path`. Nothing committed is touched. False when there is no log.
pub(super) fn spoil(path: &Path, dice: &mut Dice) -> io::Result<bool> {
    let mut log = match fs::read(path) {
        Ok(log) => log,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    let end = end(&log);
    let at = end.as_ref().map_or(0, |end| end.at);
    let most = usize::try_from(dice.of_all_sizes(15)).expect("small") + 1;
    let spoil: Vec<u8> = match (dice.below(5), end) {
        // Frames that are whole, of a transaction that was never committed; perhaps the last one is cut.
        (0 | 1, Some(mut end)) => {
            let mut frames: Vec<u8> = Vec::new();
            for _ in 0..=dice.below(3) {
                frames.extend(frame(&mut end, dice));
            }
            let cut = if dice.one_in(2) { most } else { 0 };
            frames.truncate(frames.len().saturating_sub(cut));
            frames
        }
        // What was there before the log began anew.
        (2, Some(_)) if at > HEADER => log[HEADER..at].iter().copied().take(most).collect(),
        (3, _) => vec![0; most],
        _ => (0..most).map(|_| dice.next().to_le_bytes()[0]).collect(),
    };
    if dice.one_in(2) {
        log.truncate(at);
    }
    let over = log.len().saturating_sub(at).min(spoil.len());
    log.splice(at..at + over, spoil);
    fs::write(path, log)?;
    Ok(true)
}

/// A frame that fits, without the mark of a commit.
fn frame(end: &mut End, dice: &mut Dice) -> Vec<u8> {
    let number = u32::try_from(dice.below(64) + 1).expect("small");
    let mut frame = number.to_be_bytes().to_vec();
    frame.extend([0; 4]);
    end.sum.add(&frame);
    let page: Vec<u8> = (0..end.page).map(|_| dice.next().to_le_bytes()[0]).collect();
    end.sum.add(&page);
    frame.extend(end.salts);
    frame.extend(end.sum.bytes());
    frame.extend(page);
    frame
}

/// The end of the last commit of a log; nothing when its header is not valid.
fn end(log: &[u8]) -> Option<End> {
    let word = |at: usize| Some(u32::from_be_bytes(log.get(at..at + 4)?.try_into().ok()?));
    let magic = word(0)?;
    if magic & !1 != 0x377f_0682 {
        return None;
    }
    let page = usize::try_from(word(8)?).ok()?;
    let mut sum = Sum { big: magic & 1 == 1, a: 0, b: 0 };
    sum.add(log.get(..24)?);
    if sum.bytes() != log.get(24..HEADER)? || !page.is_power_of_two() {
        return None;
    }
    let salts: [u8; 8] = log.get(16..24)?.try_into().ok()?;
    let mut end = End { at: HEADER, sum, page, salts };
    for (n, frame) in log[HEADER..].chunks_exact(FRAME + page).enumerate() {
        sum.add(&frame[..8]);
        sum.add(&frame[FRAME..]);
        if frame[8..16] != salts || frame[16..24] != sum.bytes() {
            break;
        }
        if frame[4..8] != [0; 4] {
            end = End { at: HEADER + (n + 1) * (FRAME + page), sum, ..end };
        }
    }
    Some(end)
}

/// The checksum of SQLite's log.
#[derive(Debug, Clone, Copy)]
struct Sum {
    big: bool,
    a: u32,
    b: u32,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let word = |bytes: &[u8]| {
            let bytes = bytes.try_into().expect("four bytes");
            if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let (mut a, mut b) = (self.a, self.b);
        for pair in bytes.chunks_exact(8) {
            a = a.wrapping_add(word(&pair[..4])).wrapping_add(b);
            b = b.wrapping_add(word(&pair[4..])).wrapping_add(a);
        }
        (self.a, self.b) = (a, b);
    }

    fn bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.a.to_be_bytes());
        bytes[4..].copy_from_slice(&self.b.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// A log of three transactions, of which one spills into the log and is not committed.
    fn log(folder: &Path) -> (Connection, std::path::PathBuf) {
        let path = folder.join("db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(x)")
            .unwrap();
        db.execute_batch("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)").unwrap();
        (db, path)
    }

    fn copy(path: &Path, to: &Path) -> std::path::PathBuf {
        super::super::stored::copy_run(path, to).unwrap();
        super::super::stored::beside(to, "-wal")
    }

    #[test]
    fn the_end_is_that_of_the_last_commit() {
        let folder = tempfile::tempdir().unwrap();
        let (db, path) = log(folder.path());
        let wal = folder.path().join("db-wal");
        let committed = fs::metadata(&wal).unwrap().len();
        assert_eq!(end(&fs::read(&wal).unwrap()).unwrap().at as u64, committed);
        db.execute_batch(
            "PRAGMA cache_size = 1; BEGIN; CREATE TABLE u(x);
             INSERT INTO u SELECT randomblob(3000) FROM generate_series(1, 50)",
        )
        .or_else(|_| {
            db.execute_batch(
                "INSERT INTO u WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
                 SELECT randomblob(3000) FROM n",
            )
        })
        .unwrap();
        let spilled = fs::read(&wal).unwrap();
        assert!(spilled.len() as u64 > committed);
        assert_eq!(end(&spilled).unwrap().at as u64, committed);
        drop(path);
    }

    #[test]
    fn whatever_is_left_behind_the_end_what_was_committed_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (_db, path) = log(folder.path());
        for seed in 0..200 {
            let to = folder.path().join("copy");
            let wal = copy(&path, &to);
            let before = fs::read(&wal).unwrap();
            assert!(spoil(&wal, &mut Dice::new(seed)).unwrap());
            let db = Connection::open(&to).unwrap();
            let (rows, says): (i64, String) = (
                db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap(),
                db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap(),
            );
            assert_eq!((rows, says.as_str()), (2, "ok"), "seed {seed}, {} bytes", before.len());
        }
    }

    #[test]
    fn a_frame_of_ours_counts_as_written_and_not_as_committed() {
        let folder = tempfile::tempdir().unwrap();
        let (_db, path) = log(folder.path());
        let wal = copy(&path, &folder.path().join("copy"));
        let mut log = fs::read(wal).unwrap();
        let mut found = end(&log).unwrap();
        let at = found.at;
        let mut ours = frame(&mut found, &mut Dice::new(1));
        log.extend(&ours);
        assert_eq!(end(&log).unwrap().at, at);
        // With the mark of a commit, and a sum that fits, it would be one.
        ours[7] = 9;
        let mut sum = end(&log[..at]).unwrap().sum;
        sum.add(&ours[..8]);
        sum.add(&ours[FRAME..]);
        ours[16..24].copy_from_slice(&sum.bytes());
        log.truncate(at);
        log.extend(&ours);
        assert_eq!(end(&log).unwrap().at, at + ours.len());
    }
}

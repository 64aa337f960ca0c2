//! Each target of `fuzz/`, with its known inputs, and with many that are like them.
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

use jorb_tests::{
    bench::Random,
    fuzz::{ALL, Body},
};

/// Short ones are read by people, and tried by the thousand.
const LONGEST: usize = 1_000;

#[test]
fn units() {
    try_all("units", 200_000);
}

#[test]
fn document() {
    try_all("document", 3_000);
}

#[test]
fn import() {
    try_all("import", 3_000);
}

fn try_all(name: &str, mutants: u64) {
    let (_, body) = ALL.into_iter().find(|(target, _)| *target == name).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    let corpus: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!corpus.is_empty());
    for (path, bytes) in paths.iter().zip(&corpus) {
        assert!(bytes.len() < LONGEST, "{} is long", path.display());
        attempt(body, bytes, &path.display().to_string());
    }
    for n in 0..mutants {
        let bytes = mutant(&corpus, &mut Random::new(n));
        attempt(body, &bytes, &format!("mutant {n}"));
    }
}

fn attempt(body: Body, bytes: &[u8], name: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(bytes))) {
        eprintln!("{name}: {}", bytes.escape_ascii());
        resume_unwind(panic);
    }
}

/// What programs trip over.
const WORDS: [&str; 19] = [
    "0",
    "1",
    "-1",
    "1e400",
    "0.5",
    "4294967295",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "\n",
    "\0",
    "\u{85}",
    "..",
];

/// One of the known inputs, changed in one to four places.
fn mutant(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = random.one_of(corpus).clone();
    for _ in 0..=random.below(4) {
        let at = below(random, bytes.len() + 1);
        let to = (at + below(random, 12)).min(bytes.len());
        match random.below(7) {
            0 => drop(bytes.splice(at..to, random.one_of(&WORDS).bytes())),
            // Whole values, so that what comes out is JSON more often than not.
            1 | 2 => {
                let value = a_value(&bytes, random);
                drop(bytes.splice(value, random.one_of(&WORDS).bytes()));
            }
            3 => drop(bytes.drain(at..to)),
            4 => {
                let other = random.one_of(corpus);
                let from = below(random, other.len() + 1);
                let end = (from + below(random, 80)).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
            5 => bytes.truncate(at),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

/// Where a number or a text stands.
fn a_value(bytes: &[u8], random: &mut Random) -> std::ops::Range<usize> {
    let stands = |b: &u8| b.is_ascii_alphanumeric() || b"\"-.".contains(b);
    let from = below(random, bytes.len() + 1);
    let from = bytes[from..].iter().position(stands).map_or(bytes.len(), |skip| from + skip);
    let from = bytes[..from].iter().rposition(|b| !stands(b)).map_or(0, |before| before + 1);
    let length = bytes[from..].iter().position(|b| !stands(b)).unwrap_or(bytes.len() - from);
    from..from + length
}

fn below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).unwrap()
}

//! Errors that differ in numbers only are one.
use std::collections::HashMap;

use super::Reason;
use crate::JobId;

/// Reasons that are kept apart for each state.
const REASONS: usize = 1000;
/// Jobs that are named for each.
const EXAMPLES: usize = 5;
/// So much of a text is looked at.
const LENGTH: usize = 240;

/// Jobs by their errors, in bounded memory.
#[derive(Default)]
pub(super) struct Groups {
    by_pattern: HashMap<String, Group>,
    others: u64,
}

struct Group {
    /// As long as all are the same.
    text: Option<String>,
    jobs: u64,
    examples: Vec<JobId>,
}

impl Groups {
    pub(super) fn add(&mut self, job: JobId, error: &str) {
        let error = shortened(error);
        let pattern = without_numbers(&error);
        if self.by_pattern.len() >= REASONS && !self.by_pattern.contains_key(&pattern) {
            self.others += 1;
            return;
        }
        let new = || Group { text: Some(error.clone()), jobs: 0, examples: Vec::new() };
        let group = self.by_pattern.entry(pattern).or_insert_with(new);
        group.text.take_if(|text| *text != error);
        group.jobs += 1;
        if group.examples.len() < EXAMPLES {
            group.examples.push(job);
        }
    }

    /// The most frequent first; and how many jobs have none of them.
    pub(super) fn into_reasons(self) -> (Vec<Reason>, u64) {
        let reason = |(pattern, Group { text, jobs, examples })| Reason {
            error: text.unwrap_or(pattern),
            jobs,
            examples,
        };
        let mut reasons: Vec<Reason> = self.by_pattern.into_iter().map(reason).collect();
        reasons.sort_by(|a, b| b.jobs.cmp(&a.jobs).then_with(|| a.error.cmp(&b.error)));
        (reasons, self.others)
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.into(),
    }
}

/// The text with `#` for each number, and for each word that looks like a hash or a UUID.
fn without_numbers(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len()).max(c.len_utf8());
        let (word, after) = rest.split_at(word);
        rest = after;
        if is_hash(word) {
            pattern.push('#');
            continue;
        }
        for c in word.chars() {
            if !c.is_ascii_digit() {
                pattern.push(c);
            } else if !pattern.ends_with('#') {
                pattern.push('#');
            }
        }
    }
    pattern
}

fn is_hash(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 4 && bytes.iter().all(u8::is_ascii_hexdigit) && bytes.iter().any(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_hashes_do_not_tell_errors_apart() {
        for (text, pattern) in [
            ("timeout after 31 ms", "timeout after # ms"),
            ("10.0.0.7:443 refused", "#.#.#.#:# refused"),
            ("no object deadbeef01", "no object #"),
            ("job 7f3a61d0-9c1b-4be2-8a57-0a1b2c3d4e5f: é 1", "job #-#-#-#-#: é #"),
            ("bad face, h2 reset", "bad face, h# reset"),
        ] {
            assert_eq!(without_numbers(text), pattern);
        }
    }

    #[test]
    fn texts_are_counted_in_bounded_memory() {
        let mut groups = Groups::default();
        for n in 0..10 {
            groups.add(JobId(n), &format!("timeout after {n} ms"));
        }
        groups.add(JobId(10), "refused: 111");
        for n in 0..REASONS as u64 {
            let letters: String = n.to_string().bytes().map(|b| char::from(b + 50)).collect();
            groups.add(JobId(100 + n), &format!("odd {letters}"));
        }
        assert_eq!(groups.by_pattern.len(), REASONS);
        let (reasons, others) = groups.into_reasons();
        assert_eq!(others, 2);
        assert_eq!((reasons[0].error.as_str(), reasons[0].jobs), ("timeout after # ms", 10));
        assert_eq!(reasons[0].examples.len(), EXAMPLES);
        assert!(reasons.iter().any(|reason| reason.error == "refused: 111"));
    }
}

//! Did you mean ..?
use crate::{Error, UnknownState, Workflow};

/// The one of `known` that is most like `name`, if one is much like it.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|k| (distance(&lower, &k.to_lowercase()), k))
        .filter(|(distance, k)| *distance <= k.len().max(name.len()) / 3)
        .min()
        .map(|(_, k)| k)
}

/// For a state that a person names.
pub(crate) fn no_such_state<W: Workflow>(name: &str) -> Error {
    let nearest = nearest(name, W::STATES.iter().map(|s| s.name));
    Error::NoSuchState(UnknownState { name: name.into(), jobs: 0, nearest })
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let cost = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn typos_are_near_and_other_words_are_not() {
        let near = |name| nearest(name, ["Fetch", "Parse", "Done"]);
        assert_eq!([near("fetsh"), near("Prase"), near("Store")], [Some("Fetch"), Some("Parse"), None]);
    }
}

//! Did you mean ..?
use crate::{Error, UnknownState, Workflow};

/// The one of `known` that is most like `name`, if one is much like it.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|k| (strsim::osa_distance(&lower, &k.to_lowercase()), k))
        .filter(|(distance, k)| *distance <= k.len().max(name.len()) / 3)
        .min()
        .map(|(_, k)| k)
}

/// For a state that a person names.
pub(crate) fn no_such_state<W: Workflow>(name: &str) -> Error {
    let nearest = nearest(name, W::STATES.iter().map(|s| s.name));
    Error::NoSuchState(UnknownState { name: name.into(), jobs: 0, nearest })
}

/// For a state that runs steps, or a limiter, that a person names.
pub(crate) fn no_such_target<W: Workflow>(name: &str) -> Error {
    let states = W::STATES.iter().filter(|state| !state.terminal()).map(|state| state.name);
    let limiters = W::STATES.iter().flat_map(|state| state.limits).map(|limiter| limiter.name);
    let nearest = nearest(name, states.chain(limiters));
    Error::NoSuchTarget(UnknownState { name: name.into(), jobs: 0, nearest })
}

/// For a limiter that a person names.
pub(crate) fn no_such_limiter<W: Workflow>(name: &str) -> Error {
    let limiters = W::STATES.iter().flat_map(|state| state.limits).map(|limiter| limiter.name);
    let nearest = nearest(name, limiters);
    Error::NoSuchLimiter(UnknownState { name: name.into(), jobs: 0, nearest })
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

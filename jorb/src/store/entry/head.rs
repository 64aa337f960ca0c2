//! The JSON form of what is known of a run as a whole.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{When, compact, raw};
use crate::{
    Saved, StateId, Tuning, Unwritable, Workflow,
    store::{Counts, Fresh, Header, Learned, LimiterName, Numbers, Seeding, StateName},
};

/// A run. `J` is where its jobs are: in the same document, or elsewhere.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head<J> {
    /// The version of the format.
    pub(crate) jorb: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workflow: Option<StateName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<When>,
    /// How often the document was written: ties a log to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seeding: Option<Seeding>,
    #[serde(default)]
    pub(crate) clean: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) held: Vec<StateName>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) held_keys: BTreeMap<LimiterName, When>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) limiters: BTreeMap<LimiterName, When>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) learned: BTreeMap<LimiterName, Learned>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tuned: BTreeMap<LimiterName, Tuning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Numbers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fresh: Option<FreshRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) overall: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jobs: Option<J>,
}

/// Ids of jobs that were not looked at since they were seeded.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreshRange {
    pub(crate) next: u64,
    pub(crate) end: u64,
}

/// Limiters and times, as they are stored.
pub(crate) fn limiters(of: &BTreeMap<LimiterName, crate::Timestamp>) -> BTreeMap<LimiterName, When> {
    of.iter().map(|(name, at)| (name.clone(), When(*at))).collect()
}

/// States by name, as they are stored.
pub(crate) fn names<W: Workflow>(of: &[StateId<W>]) -> Vec<StateName> {
    of.iter().map(|state| state.name().into()).collect()
}

/// The states of these names that there still are.
pub(crate) fn states<W: Workflow>(names: &[StateName]) -> Vec<StateId<W>> {
    names.iter().filter_map(|name| StateId::named(name)).collect()
}

impl<J> Head<J> {
    /// Of a run whose jobs are elsewhere.
    pub(crate) fn of<W: Workflow>(header: &Header<W>) -> Result<Self, Unwritable> {
        let overall = header.overall.as_ref().map(|overall| {
            let text = W::CODEC.overall.text(overall)?;
            raw::<W::Overall>(&text)
        });
        let Fresh { next, end, .. } = header.fresh;
        Ok(Head {
            jorb: super::VERSION,
            workflow: Some(W::NAME.into()),
            run: Some(header.run),
            created: Some(When(header.created)),
            generation: None,
            seeding: Some(header.seeding),
            clean: header.clean,
            held: names(&header.held),
            held_keys: limiters(&header.held_keys),
            limiters: limiters(&header.limiters),
            learned: header.learned.clone(),
            tuned: header.tuned.iter().cloned().collect(),
            next: Some(header.next),
            fresh: (next < end).then_some(FreshRange { next, end }),
            overall: overall.transpose()?,
            jobs: None,
        })
    }

    /// What it says of the run; the jobs are not counted.
    pub(crate) fn header<W: Workflow>(&self) -> Header<W> {
        let seeding = self.seeding.unwrap_or(Seeding::Done);
        let overall = self.overall.as_ref().map(|text| Saved::Json(compact(text.get()).into()));
        let fresh = self.fresh.unwrap_or(FreshRange { next: 0, end: 0 });
        // A state's old name is replaced by today's, as everywhere.
        let today = |name: &LimiterName| match StateId::<W>::named(name) {
            Some(state) => state.name().into(),
            None => name.clone(),
        };
        Header {
            run: self.run.unwrap_or_else(Uuid::new_v4),
            created: self.created.map_or_else(crate::Timestamp::now, |When(at)| at),
            overall: if seeding == Seeding::Done {
                overall.or(Some(Saved::Json("null".into())))
            } else {
                overall
            },
            seeding,
            next: self.next.unwrap_or(Numbers::FIRST),
            fresh: Fresh { next: fresh.next, end: fresh.end, by_state: Vec::new() },
            counts: Counts::none(0),
            held: states(&self.held),
            held_keys: self.held_keys.iter().map(|(name, since)| (name.clone(), since.0)).collect(),
            limiters: self.limiters.iter().map(|(name, at)| (today(name), at.0)).collect(),
            learned: self.learned.iter().map(|(name, learned)| (today(name), *learned)).collect(),
            tuned: self.tuned.iter().map(|(name, tuning)| (today(name), *tuning)).collect(),
            clean: self.clean,
        }
    }
}

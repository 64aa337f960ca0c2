//! Why nothing came of a job that was named: `--job`.
use super::one_line;
use crate::{BoxError, Job, JobStory, Shown, StateId, Workflow, processor::takes_of, tuning::key_of};

/// Longer errors are cut.
const LONGEST: usize = 100;

/// What else was asked for beside `--job`.
pub(super) struct Asked<'a> {
    /// The flag, and the state that it names.
    pub(super) state: Option<(&'a str, &'a str)>,
    pub(super) status: Option<Shown>,
    pub(super) error: Option<&'a str>,
    /// The limiter, and its key.
    pub(super) key: Option<(&'a str, &'a str)>,
    pub(super) limit: Option<u64>,
}

impl Asked<'_> {
    /// That the job is not what was asked for, and how it stands; or else why nothing can be done with it.
    pub(super) fn nothing<W: Workflow>(&self, job: &JobStory<W>, why: &str) -> BoxError {
        let Asked { state, status, error, key, limit } = *self;
        let differs = |(flag, name)| {
            let name = StateId::<W>::named(name).map(StateId::name)?;
            (name != job.state_name()).then(|| format!(", not in `{name}`; leave out `{flag}`"))
        };
        let newest = job.story.errors.last().map(|last| last.error.as_str());
        let why = state
            .and_then(differs)
            .or_else(|| {
                let status = status.filter(|status| *status != job.status())?;
                Some(format!(", not {status}; leave out `--status`"))
            })
            .or_else(|| {
                let text = error.filter(|text| newest.is_none_or(|newest| !newest.contains(text)))?;
                let text = one_line(text, LONGEST);
                Some(match newest.map(|newest| one_line(newest, LONGEST)) {
                    Some(newest) => {
                        format!(", and its newest error is `{newest}`, without `{text}`; leave out `--error`")
                    }
                    None => ", and has no error; leave out `--error`".into(),
                })
            })
            .or_else(|| {
                let (limiter, key) = key?;
                let name = key_of::<W>(limiter, key).ok()?;
                (!takes_of(job.record(), &name))
                    .then(|| format!(", and takes nothing of `{limiter}[{key}]`; leave out `--key`"))
            })
            .or_else(|| (limit == Some(0)).then(|| ", and `--limit 0` leaves nothing".into()))
            .unwrap_or_else(|| why.into());
        format!("job {} {}{why}", job.id(), stands(job)).into()
    }
}

fn stands<W: Workflow>(job: &Job<W>) -> String {
    let state = job.state_name();
    match job.status() {
        Shown::Ended => format!("has ended in `{state}`"),
        Shown::Cancelled => format!("was cancelled in `{state}`"),
        Shown::Joining => format!("waits for its children, to go on in `{state}`"),
        status => format!("is {status} in `{state}`"),
    }
}

//! A process is dead: what is in the file must follow from what was there before, and from the log.
use std::collections::{HashMap, HashSet};

use jorb::JobId;

use super::{
    super::{
        fate::Fate,
        stored::{Stored, StoredJob, StoredStory},
    },
    Account, Known, Wrong, beyond,
};

impl Account {
    /// What was found in the file; nothing when there is none.
    pub(in super::super) fn look(&mut self, stored: Option<&Stored>) {
        self.inside.clear();
        let empty = Stored::default();
        let stored = stored.unwrap_or(&empty);
        for text in &stored.broken {
            self.tally.wrong(Wrong::Integrity, text);
        }
        self.looks += 1;
        if !stored.seeded {
            if self.seeded || !self.jobs.is_empty() {
                self.tally.wrong(Wrong::JobLost, format!("all {} jobs are gone", self.jobs.len()));
            }
            return;
        }
        self.seeded = true;
        for job in &stored.jobs {
            self.check_number(job.id, job.me);
            self.check_row(job);
            self.check_place(job);
        }
        self.check_all_there(&stored.jobs);
        self.check_names(&stored.jobs);
    }

    /// How often the file was looked at.
    pub(in super::super) fn looks(&self) -> u64 {
        self.looks
    }

    /// The power was cut, and not all was synced that the looks from `since` on have found. So what no step relies on may
    /// be gone: jobs that were not started where they were found go back to where the file has them now.
    pub(in super::super) fn power_cut(&mut self, since: u64, stored: Option<&Stored>) {
        let rows = stored.map_or(&[][..], |stored| &stored.jobs);
        let rows: HashMap<u64, &StoredJob> = rows.iter().map(|job| (job.me, job)).collect();
        let fates = &self.fates;
        let may_be_gone =
            |known: &Known| known.found.is_some_and(|look| look >= since) && known.started.is_none();
        self.jobs.retain(|me, known| match (rows.get(me), fates.get(*me)) {
            _ if !may_be_gone(known) => true,
            (None, _) => known.at > 0,
            (Some(job), Some(fate)) => {
                if fate.place(job.at).is_some_and(|place| place + 1 == known.at) {
                    *known = Known { at: known.at - 1, ..Known::new(known.id) };
                }
                true
            }
            (Some(_), None) => true,
        });
        let jobs = &self.jobs;
        self.numbers.retain(|_, me| jobs.contains_key(me));
        self.seeded &= !jobs.is_empty();
    }

    /// The run is complete.
    pub(in super::super) fn complete(&mut self) {
        let unfinished = |(me, known): (&u64, &Known)| {
            let fate = self.fates.get(*me)?;
            (known.at != fate.last()).then(|| format!("job {} is at {:?}", known.id, fate.stands[known.at]))
        };
        let texts: Vec<String> = self.jobs.iter().filter_map(unfinished).collect();
        for text in texts {
            self.tally.wrong(Wrong::Unfinished, text);
        }
        if !self.seeded {
            self.tally.wrong(Wrong::Unfinished, "the run has no jobs");
        }
    }

    /// Jobs that are known.
    pub(in super::super) fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// A row reads as it must at its place.
    fn check_row(&mut self, job: &StoredJob) {
        let Some(fate) = self.fates.get(job.me) else {
            return self.tally.wrong(Wrong::ImpossibleRow, format!("nobody makes {job:?}"));
        };
        let Some(place) = fate.place(job.at) else {
            return self.tally.wrong(Wrong::ImpossibleRow, format!("{job:?} cannot be"));
        };
        let stand = &fate.stands[place];
        let (is, must) = (
            (job.state, job.status, job.errors, job.kicked, job.load),
            (stand.state, stand.status, stand.errors, stand.kicked as u64, self.plan.load),
        );
        if is != must {
            self.tally.wrong(Wrong::ImpossibleRow, format!("{job:?} must read {stand:?}"));
        }
        let data = (job.state == "Thread").then(|| format!("{{\"of\":{}}}", job.me));
        if job.data != data {
            self.tally.wrong(Wrong::ImpossibleRow, format!("{job:?} must have the fields {data:?}"));
        }
        if let Some(text) = job.story.as_ref().and_then(|story| wrong_story(job, story, fate)) {
            self.tally.wrong(Wrong::NotAtomic, text);
        }
    }

    /// It is where it was, or one place further if its step there has returned.
    fn check_place(&mut self, job: &StoredJob) {
        let Some(fate) = self.fates.get(job.me) else { return };
        let Some(place) = fate.place(job.at) else { return };
        let known = self.jobs.entry(job.me).or_insert(Known::new(job.id));
        let was = &fate.stands[known.at];
        if place < known.at {
            let (wrong, how) = match known.started {
                Some(_) => (Wrong::StartedBeforeCommit, "it was started there"),
                None => (Wrong::WentBack, "the file had it there"),
            };
            self.tally.wrong(wrong, format!("{job:?} was at {was:?}: {how}"));
        } else if place > known.at + 1 || place > known.at && known.ended.is_none() {
            self.tally.wrong(Wrong::MovedWithoutStep, format!("{job:?} was at {was:?}"));
        }
        if place == known.at + 1 {
            known.go(place, fate.stands[place].wait);
        }
        let found = known.found.filter(|_| place == known.at);
        (known.at, known.found, known.ended) = (place, found.or(Some(self.looks)), None);
    }

    /// There are the seeds and what was kicked, once each, and nothing else.
    fn check_all_there(&mut self, jobs: &[StoredJob]) {
        let mut there = HashSet::with_capacity(jobs.len());
        let mut expected: HashSet<u64> = self.fates.seeds.iter().copied().collect();
        for job in jobs {
            if !there.insert(job.me) {
                self.tally.wrong(Wrong::JobDoubled, format!("{job:?} is there twice"));
            }
            if let Some(fate) = self.fates.get(job.me)
                && let Some(place) = fate.place(job.at)
            {
                expected.extend(fate.kicks[..fate.stands[place].kicked].iter().map(|kick| kick.me));
            }
        }
        for me in beyond(&expected, &there) {
            let text = format!("{me} is not there, though it was seeded or kicked");
            self.tally
                .wrong(if self.jobs.contains_key(&me) { Wrong::JobLost } else { Wrong::NotAtomic }, text);
        }
        for me in beyond(&there, &expected) {
            self.tally.wrong(
                Wrong::NotAtomic,
                format!("{me} is there, though nothing that kicks it was committed"),
            );
        }
        let known: HashSet<u64> = self.jobs.keys().copied().collect();
        let gone: Vec<u64> = beyond(&known, &there).filter(|me| !expected.contains(me)).collect();
        for me in gone {
            self.tally.wrong(Wrong::JobLost, format!("{me} was there"));
        }
    }

    /// The `n`th kick of a job is the job that it must be.
    fn check_names(&mut self, jobs: &[StoredJob]) {
        let by_id: HashMap<JobId, &StoredJob> = jobs.iter().map(|job| (job.id, job)).collect();
        let mut names = HashSet::new();
        let seeds: HashSet<u64> = self.fates.seeds.iter().copied().collect();
        for job in jobs {
            let Some((parent, n)) = job.parent else {
                if !seeds.contains(&job.me) {
                    self.tally.wrong(Wrong::ImpossibleRow, format!("{job:?} has no parent"));
                }
                continue;
            };
            if !names.insert((parent, n)) {
                self.tally.wrong(Wrong::NumberReused, format!("{parent}->{n} is the name of two jobs"));
            }
            let kicked = by_id.get(&parent).and_then(|parent| {
                let fate = self.fates.get(parent.me)?;
                let n = usize::try_from(n).ok()?;
                fate.kicks[..fate.stands[fate.place(parent.at)?].kicked].get(n)
            });
            if kicked.is_none_or(|kick| kick.me != job.me) {
                self.tally
                    .wrong(Wrong::NumberReused, format!("{job:?} is not what {parent} kicked as number {n}"));
            }
        }
    }
}

/// A history and its errors are as long as the row says, and say the same.
fn wrong_story(job: &StoredJob, story: &StoredStory, fate: &Fate) -> Option<String> {
    let StoredStory { lines, errors } = story;
    let moves = fate.moves.iter().take(usize::try_from(job.at.step).ok()?);
    let same = moves.clone().count() == lines.len()
        && moves
            .zip(lines)
            .all(|(moved, line)| (moved.attempt, moved.from, moved.to) == (line.0, &*line.1, &*line.2));
    (!same || *errors != job.errors).then(|| format!("{job:?} has another history"))
}

//! The model, asked as a store is.
use std::collections::BTreeSet;

use std::path::Path;

use jorb::{
    Error, Form, JobId, StateId, Status,
    store::{Access, Batch, Committed, Header, Lane, OnceKey, Record, Restored, Store, Story, Turn},
};

use super::{Model, tell};
use crate::flow::Flow;

impl Model {
    fn find(&self, id: JobId) -> Option<&Restored<Flow>> {
        self.jobs.iter().find(|job| job.record.job.id == id)
    }

    /// As [`tell`] a store.
    pub fn tell(&mut self) -> String {
        let header = self.header();
        tell(self, &header)
    }

    fn records(&self) -> impl Iterator<Item = &Record<Flow>> {
        self.jobs.iter().map(|job| &job.record)
    }
}

impl Store<Flow> for Model {
    fn form(&self) -> Form {
        self.form
    }

    fn blocks(&self) -> bool {
        false
    }

    fn path(&self) -> &Path {
        Path::new("model")
    }

    fn open(&mut self, _: Access) -> Result<Header<Flow>, Error> {
        Ok(self.header())
    }

    fn commit(&mut self, _: &Batch<Flow>) -> Result<Committed<Flow>, Error> {
        unreachable!("a model says what it does")
    }

    fn clear(&mut self) -> Result<(), Error> {
        unreachable!("a model says what it does")
    }

    fn close(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn page(&mut self, from: JobId, most: usize) -> Result<Vec<Record<Flow>>, Error> {
        Ok(self.records().filter(|record| record.job.id >= from).take(most).cloned().collect())
    }

    fn moving(&mut self) -> Result<Vec<Record<Flow>>, Error> {
        unreachable!("it has a simpler one")
    }

    fn line(
        &mut self,
        state: StateId<Flow>,
        status: Status,
        lane: &Lane,
        after: Option<Turn>,
        most: usize,
    ) -> Result<Vec<Record<Flow>>, Error> {
        let here = |record: &&Record<Flow>| {
            record.placed
                && record.job.state == state
                && record.job.status == status
                && record.lane() == *lane
                && Some(record.turn()) > after
        };
        let mut line: Vec<_> = self.records().filter(here).cloned().collect();
        line.sort_by_key(Record::turn);
        line.truncate(most);
        Ok(line)
    }

    fn lanes(
        &mut self,
        state: StateId<Flow>,
        status: Status,
        after: Option<&Lane>,
        most: usize,
    ) -> Result<Vec<Lane>, Error> {
        let here = |record: &&Record<Flow>| {
            record.placed && record.job.state == state && record.job.status == status
        };
        let lanes: BTreeSet<Lane> = self.records().filter(here).map(Record::lane).collect();
        Ok(lanes.into_iter().filter(|lane| Some(lane) > after).take(most).collect())
    }

    fn job(&mut self, id: JobId) -> Result<Option<Record<Flow>>, Error> {
        Ok(self.find(id).map(|job| job.record.clone()))
    }

    fn child(&mut self, parent: JobId, n: u64) -> Result<Option<JobId>, Error> {
        Ok(self.records().find(|record| record.job.parent == Some((parent, n))).map(|record| record.job.id))
    }

    fn story(&mut self, id: JobId) -> Result<Story, Error> {
        Ok(self.find(id).expect("it is asked about jobs that it has").story.clone())
    }

    fn once(&mut self, id: JobId) -> Result<Option<OnceKey<Flow>>, Error> {
        let once = self.find(id).and_then(|job| job.once.as_ref());
        Ok(once.map(|OnceKey { state, key }| OnceKey { state: *state, key: key.clone() }))
    }
}

//! The jobs of a table, by number.
use std::collections::BTreeMap;

use super::Row;
use crate::{JobId, Workflow};

/// Jobs by number. Numbers follow each other but for few holes, so that a page of them is a list, and finding one costs
/// little more than finding its page.
pub(super) struct Rows<W: Workflow> {
    pages: BTreeMap<u64, Vec<Option<Row<W>>>>,
    len: usize,
}

/// Jobs per page.
const PAGE: u64 = 64;

impl<W: Workflow> Rows<W> {
    pub(super) fn new() -> Self {
        Rows { pages: BTreeMap::new(), len: 0 }
    }

    /// Puts in a job; gives the one that was there.
    pub(super) fn insert(&mut self, row: Row<W>) -> Option<Row<W>> {
        let (page, at) = place(row.record.job.id);
        let page = self.pages.entry(page).or_default();
        if page.len() <= at {
            page.resize_with(at + 1, || None);
        }
        let before = page[at].replace(row);
        self.len += usize::from(before.is_none());
        before
    }

    pub(super) fn get(&self, id: JobId) -> Option<&Row<W>> {
        let (page, at) = place(id);
        self.pages.get(&page)?.get(at)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: JobId) -> Option<&mut Row<W>> {
        let (page, at) = place(id);
        self.pages.get_mut(&page)?.get_mut(at)?.as_mut()
    }

    /// Those from `id` on, in order.
    pub(super) fn from(&self, id: JobId) -> impl Iterator<Item = &Row<W>> {
        let (page, _) = place(id);
        let rows = self.pages.range(page..).flat_map(|(_, page)| page).flatten();
        rows.skip_while(move |row| row.record.job.id < id)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// Of which page, and where on it.
fn place(id: JobId) -> (u64, usize) {
    (id.0 / PAGE, usize::try_from(id.0 % PAGE).expect("a page is short"))
}

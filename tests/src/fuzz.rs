//! What must hold whatever bytes somebody hands to jorb. Each is a function of the bytes that panics if it does not;
//! `tests/fuzz.rs` calls them with known inputs and what is like them, `fuzz/` with all that libFuzzer thinks of.
use crate::flow::Flow;
use jorb::{
    JobId, StateId, Status, Workflow,
    store::{Counts, Header, Store, export},
};

mod document;
mod import;
mod units;

pub use document::document;
pub use import::import;
pub use units::units;

/// One of them.
pub type Body = fn(&[u8]);

/// All, by the names of their folders of known inputs.
pub const ALL: [(&str, Body); 3] = [("units", units), ("document", document), ("import", import)];

/// No number of a run is so large that counting on from it, for ever, ends: 2⁵³, and what a run of it adds.
const LARGEST: u64 = (1 << 53) + (1 << 20);

/// The run is whole: its counts are those of its jobs, its numbers are before the next ones. Gives all of it as text.
fn check(store: &mut dyn Store<Flow>, header: &Header<Flow>) -> String {
    let mut counts = Counts::none(Flow::STATES.len());
    let mut from = JobId(0);
    let next = header.next;
    assert!([next.job, next.seq, next.line, next.error].into_iter().all(|n| n <= LARGEST), "{next:?}");
    loop {
        let page = store.page(from, 100).unwrap();
        let Some(last) = page.last() else { break };
        from = JobId(last.job.id.0 + 1);
        for record in page {
            let job = &record.job;
            counts.add(job.state, job.status, 1);
            assert!(job.id.0 < next.job && record.seq < next.seq, "{} {}: {next:?}", job.id, record.seq);
            assert_eq!(job.status == Status::Ended, job.state.spec().terminal(), "{}", job.id);
            let story = store.story(job.id).unwrap();
            assert_eq!(story.lines.last().map(|line| line.id), record.last_line);
            assert_eq!(story.errors.last().map(|error| error.id), record.last_error);
            if let Some((parent, n)) = job.parent {
                assert_eq!(store.child(parent, n).unwrap(), Some(job.id));
            }
        }
    }
    assert_eq!(counts, header.counts);
    for state in StateId::<Flow>::all() {
        for status in Status::ALL {
            let line = store.line(state, status, &jorb::store::Lane::FIRST, None, usize::MAX).unwrap();
            let turns: Vec<_> = line.iter().map(jorb::store::Record::turn).collect();
            assert!(turns.is_sorted());
            assert!(line.len() as u64 <= counts.get(state, status));
        }
    }
    let mut out = Vec::new();
    assert_eq!(export(store, header, &mut out).unwrap(), counts.total());
    String::from_utf8(out).unwrap()
}

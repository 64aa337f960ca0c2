//! Values whose own code panics: when they are written, read or cloned.
use jorb::{Processor, Run, prelude::*};
use jorb_tests::stores::Kind;
use serde::{Deserializer, Serializer, de};

/// Panics when it is written, read or cloned, if it says so.
#[derive(Debug, PartialEq)]
struct Moody(u8);

impl Clone for Moody {
    fn clone(&self) -> Self {
        assert!(self.0 != 3, "not in the mood to be cloned");
        Moody(self.0)
    }
}

impl Serialize for Moody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 != 1 && self.0 != 3, "not in the mood to be written");
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for Moody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mood: u8 = de::Deserialize::deserialize(deserializer)?;
        assert!(mood != 2, "not in the mood to be read");
        Ok(Moody(mood))
    }
}

#[workflow(job = Moody)]
#[derive(Debug, Clone)]
enum Mood {
    #[state(initial, next(Then))]
    First { becomes: u8 },
    #[state(next(Done))]
    Then,
    #[state(terminal)]
    Done,
}

#[state]
async fn first(mood::First { becomes }: mood::First, cx: &mut Cx<Mood>) -> Outcome<mood::First> {
    cx.job = Moody(becomes);
    Ok(Next::to(mood::Then))
}

#[state(retries = 1, backoff = "1s..1s")]
async fn then(_: mood::Then, cx: &mut Cx<Mood>) -> Outcome<mood::Then> {
    // A second attempt has to read what was saved.
    if cx.attempt() == 1 && cx.job == Moody(2) { Err("once more")? } else { Ok(Next::to(mood::Done)) }
}

#[tokio::test(start_paused = true)]
async fn they_park_their_job_and_no_other() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::<Mood>::open(kind.at(folder.path())).unwrap();
        let jobs = [0, 1, 2, 3].map(|becomes| Kick::new(mood::First { becomes }, Moody(0)));
        run.seed((), |seeds| seeds.extend(jobs)).unwrap();
        let summary = Processor::new(()).exec(&mut run).await.unwrap();
        let error = |run: &mut Run<Mood>, job: u64| {
            let job = run.job(job).unwrap();
            (job.state_name(), job.story.errors.last().map(|e| e.error.clone()).unwrap_or_default())
        };
        assert_eq!(error(&mut run, 0).0, "Done", "{kind:?}");
        if kind == Kind::Memory {
            // It keeps values, so only cloning matters.
            let (state, error) = error(&mut run, 3);
            assert!(state == "First" && error.contains("not in the mood to be cloned"), "{state}: {error}");
            assert_eq!((summary.ended(), summary.parked()), (3, 1));
            continue;
        }
        for (job, state, why) in [(1, "First", "written"), (2, "Then", "read"), (3, "First", "written")] {
            let (found, error) = error(&mut run, job);
            assert!(
                found == state && error.contains(&format!("in the mood to be {why}")),
                "{found}: {error}"
            );
            assert!(error.contains("panics_of_values.rs:"), "{error}");
        }
        assert_eq!((summary.ended(), summary.parked()), (1, 3));
    }
}

//! Jobs some of which kill their process.
use std::{fs::File, io::Write, path::PathBuf, process::abort, time::Duration};

use jorb::{Error, Processor, Run, prelude::*};

use crate::stores::Kind;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    Innocent,
    /// Kills the process each time.
    Poison,
    /// Kills it the first time.
    Heals,
}

#[workflow(app = PathBuf, job = Deed)]
#[derive(Debug, Clone)]
pub enum Batch {
    #[state(initial, next(Done))]
    Work,
    #[state(terminal)]
    Done,
}

/// Deaths alone that park a job.
pub const CRASHES: u32 = 3;

#[state(concurrency = 8, crashes = CRASHES)]
async fn work(_: batch::Work, cx: &mut Cx<Batch>) -> Outcome<batch::Work> {
    let id = cx.id();
    let note = |what: &str| -> std::io::Result<()> {
        let mut log = File::options().append(true).create(true).open(cx.app.join("log"))?;
        log.write_all(format!("{what} {id}\n").as_bytes())
    };
    note("start")?;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let dies = match cx.job {
        Deed::Innocent => false,
        Deed::Poison => true,
        Deed::Heals => File::create_new(cx.app.join(format!("healed-{id}"))).is_ok(),
    };
    if dies {
        note("dies")?;
        abort();
    }
    note("end")?;
    Ok(Next::to(batch::Done))
}

/// Drives a run of these jobs in a folder until it is complete.
pub async fn drive(kind: Kind, folder: PathBuf, deeds: Vec<Deed>) -> Result<(), Error> {
    let mut run = Run::<Batch>::open(kind.at(&folder))?;
    run.seed((), |jobs| jobs.extend(deeds.into_iter().map(|deed| Kick::new(batch::Work, deed))))?;
    let _ = Processor::new(folder).exec(&mut run).await?;
    Ok(())
}

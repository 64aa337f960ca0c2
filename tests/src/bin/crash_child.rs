//! Drives a run until it is complete, or somebody kills it. Exits with 3 as soon as its account of the run finds a fault.
use std::{error::Error, fs::File, path::Path};

use jorb::{Clock, Processor, Run};
use jorb_tests::{
    audit::Audit,
    spy::Spy,
    stores::Kind,
    walk::{Plan, Walk, seed},
};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, kind, folder, plan, seeds] = args.as_slice() else {
        return Err("kind, folder, plan, seeds".into());
    };
    let folder = Path::new(folder);
    let plan: Plan = serde_json::from_str(plan)?;
    let kind = Kind::ALL.into_iter().find(|k| format!("{k:?}") == *kind).ok_or("no such store")?;

    let audit = Audit::default();
    audit.lock().loose = true;
    audit.lock().log = Some(File::options().append(true).create(true).open(folder.join("steps"))?);
    let spy = Spy::watched(kind.at::<Walk>(folder), audit.clone());
    let mut run = Run::open(spy.clone())?;
    seed(&mut run, plan, seeds.parse()?)?;
    drop(run);
    let clock = Clock::system();
    audit.opened(clock, &spy.jobs());
    let mut run = Run::open(spy.clone())?;
    let _ = Processor::new(audit.clone()).clock(clock).exec(&mut run).await?;
    Ok(())
}

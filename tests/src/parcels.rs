//! Parcels to send: a run with something of all that a run file can hold, for the tests that open old files.
use std::{
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use jorb::{Error, Processor, Run, Shown, prelude::*};

use crate::stores::Kind;

/// How a parcel is sent.
#[workflow(app = Depot, overall = Tariff, job = Parcel)]
#[derive(Debug, Clone, PartialEq)]
pub enum Parcels {
    /// Too heavy ones are refused.
    #[state(initial, next(Inspect, Pack, Refused), kick(Weigh))]
    Weigh,
    /// Held by an operator.
    #[state(next(Pack))]
    Inspect {
        /// Who is to look at it.
        by: String,
    },
    /// A crate has more in it, and a boomerang comes back.
    #[state(next(Pack, Ship))]
    Pack {
        /// How often it was packed before.
        again: u64,
    },
    /// Slow enough for each permit to be saved.
    #[state(next(Delivered))]
    Ship,
    /// All is well.
    #[state(terminal)]
    Delivered,
    /// It stays here.
    #[state(terminal)]
    Refused {
        /// Why.
        reason: String,
    },
}

/// What all parcels share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tariff {
    /// Heavier ones are refused.
    pub most_grams: u64,
}

/// One parcel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parcel {
    /// What is in it.
    pub what: String,
    /// How heavy it is.
    pub grams: u64,
}

/// Where they are handled.
#[derive(Debug, Clone, Default)]
pub struct Depot {
    /// The store and its folder: this process ends in the middle of the run. Otherwise all goes well.
    pub ends: Option<(Kind, PathBuf)>,
}

/// How often the boomerang is packed: often enough for its history to lose its middle. A log of JSON would be long.
pub fn trips(kind: Kind) -> u64 {
    if kind == Kind::Json { 3 } else { 192 }
}

/// In order of their numbers. Those behind `clock` wait until the end of the process.
pub const SEEDS: [&str; 9] =
    ["crate", "anvil", "vase", "letter", "gift", "parrot", "boomerang", "clock", "late"];

#[state]
fn weigh(_: parcels::Weigh, cx: &mut Cx<Parcels>) -> Outcome<parcels::Weigh> {
    let pack = parcels::Pack { again: 0 };
    if cx.job.grams > cx.overall.most_grams {
        return Ok(Next::to(parcels::Refused { reason: format!("{} g", cx.job.grams) }));
    }
    match &*cx.job.what {
        // The second cup is one too many.
        "crate" => Ok(Next::to(pack).kick(["cup", "cup", "plate"].map(|what| seed(what).once(what)))),
        "parrot" => Ok(Next::to(parcels::Inspect { by: "a vet".into() })),
        "clock" => {
            if let Some((kind, folder)) = &cx.app.ends {
                end_in_the_middle(*kind, folder)?;
            }
            Ok(Next::to(pack))
        }
        _ => Ok(Next::to(pack)),
    }
}

#[state]
async fn inspect(_: parcels::Inspect) -> Outcome<parcels::Inspect> {
    Ok(Next::to(parcels::Pack { again: 0 }))
}

#[state(concurrency = 2, retries = 2, backoff = "1ms..2ms")]
async fn pack(parcels::Pack { again }: parcels::Pack, cx: &mut Cx<Parcels>) -> Outcome<parcels::Pack> {
    let trips = cx.app.ends.as_ref().map_or(0, |(kind, _)| trips(*kind));
    match &*cx.job.what {
        "vase" if cx.app.ends.is_some() => Err(Fault::fatal("it broke")),
        "letter" if cx.attempt() == 1 => Err(Fault::retry("no envelope")),
        "gift" => Ok(Next::to(parcels::Ship).after(Duration::from_secs(3600))),
        "boomerang" if again + 1 < trips => Ok(Next::to(parcels::Pack { again: again + 1 })),
        _ => Ok(Next::to(parcels::Ship)),
    }
}

#[state(rate = "10/s")]
async fn ship(_: parcels::Ship) -> Outcome<parcels::Ship> {
    Ok(Next::to(parcels::Delivered))
}

/// A parcel to weigh.
pub fn seed(what: &str) -> Kick<parcels::Weigh> {
    let grams = if what == "anvil" { 80_000 } else { 300 };
    Kick::new(parcels::Weigh, Parcel { what: what.into(), grams })
}

/// Begins a run in this folder; nothing was driven yet.
pub fn begin(kind: Kind, folder: &Path) -> Result<(), Error> {
    let mut run = Run::<Parcels>::open(kind.at(folder))?;
    run.seed(Tariff { most_grams: 30_000 }, |jobs| jobs.extend(SEEDS.map(|what| seed(what).once(what))))?;
    Ok(())
}

/// Drives it, until the process ends in the middle as if it was killed.
pub async fn drive_and_end(kind: Kind, folder: &Path) -> Result<(), Error> {
    let mut run = Run::<Parcels>::open(kind.at(folder))?;
    run.set_held("Inspect", true)?;
    let _ = Processor::new(Depot { ends: Some((kind, folder.into())) }).exec(&mut run).await?;
    Ok(())
}

/// Ends the process when all jobs that can go on have.
fn end_in_the_middle(kind: Kind, folder: &Path) -> Result<(), Error> {
    loop {
        let mut run = Run::<Parcels>::read(kind.at(folder))?;
        let mut jobs = |status: Shown| run.jobs().status(status).into_iter().count();
        let settled = [Shown::Ended, Shown::Parked, Shown::Delayed, Shown::Held].map(&mut jobs);
        let at_ship = run.jobs().state("Ship")?.status(Shown::Ready).into_iter().count();
        if settled == [4, 1, 1, 1] && at_ship == 0 {
            std::process::exit(0);
        }
        sleep(Duration::from_millis(5));
    }
}

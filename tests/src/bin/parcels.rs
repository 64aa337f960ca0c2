//! Leaves a run as a process leaves it that is killed. `tests/old/README.md` says what for.
use std::{error::Error, path::Path};

use jorb_tests::{
    parcels::{begin, drive_and_end},
    stores::Kind,
};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, what, kind, folder] = args.as_slice() else {
        return Err("`begin` or `drive`, `Sqlite` or `Json`, folder".into());
    };
    let kind = Kind::DURABLE.into_iter().find(|k| format!("{k:?}") == *kind).ok_or("no such store")?;
    match &**what {
        "begin" => begin(kind, Path::new(folder))?,
        "drive" => drive_and_end(kind, Path::new(folder)).await?,
        _ => return Err("`begin` or `drive`".into()),
    }
    Ok(())
}

//! Drives a run with jobs that kill it.
use std::error::Error;

use jorb_tests::{poison::drive, stores::Kind};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, kind, folder, deeds] = args.as_slice() else { return Err("kind, folder, deeds".into()) };
    let kind = Kind::ALL.into_iter().find(|k| format!("{k:?}") == *kind).ok_or("no such store")?;
    drive(kind, folder.into(), serde_json::from_str(deeds)?).await?;
    Ok(())
}

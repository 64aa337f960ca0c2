//! The account finds each lie, and believes the truth.
use jorb::Status;

use self::forge::Forge;

mod forge;
mod jobs;
mod limits;
mod rows;

#[test]
fn the_truth_is_believed() {
    let mut forge = Forge::new();
    for n in 0u32.. {
        let ready = forge.jobs.iter().find(|(me, (_, place))| *place < forge.fates.get(**me).unwrap().last());
        let Some(me) = ready.map(|(me, _)| *me) else { break };
        forge.start(me);
        if n % 7 > 0 {
            forge.end(me);
        }
        // Killed before the end, before the commit, after it, or not at all.
        if n % 7 > 1 {
            forge.commit(me);
        }
        if n % 7 < 3 {
            forge.kill();
        }
    }
    forge.look();
    forge.account.complete();
    forge.finds_nothing();
    assert!(forge.account.tally.steps > 300 && forge.account.tally.steps_rerun > 50);
    assert!(forge.jobs.len() > 150, "nobody kicks");
    assert!(forge.jobs.values().any(|(job, _)| job.status == Status::Parked));
}

//! Schedules: a run of [`Walk`] in which somebody decides, by a seed, what happens next: which step ends, when the
//! disk is done, how late the timers are, when an operator comes by, and when the process dies.
//!
//! All of it happens on one thread in virtual time, and only while everybody else waits. So a schedule is a function of
//! its seed, and a wake-up that is lost is seen at once: nobody has anything to do, and the run has not ended.
use std::{future::poll_fn, mem::replace, task::Poll, time::Duration};

use jorb::{Clock, Ending, JobId, Listener, Processor, Run, Status};
use tempfile::TempDir;
use tokio::{
    task::yield_now,
    time::{Instant, advance},
};

use crate::{
    START,
    audit::{Audit, Cancels},
    bench::Random,
    spy::Spy,
    stores::Kind,
    walk::{Plan, STATES, Walk, check_fates, seed},
};

use disk::{Disk, Slow};
use process::{Process, Told};
pub use stage::Stage;
use taste::Taste;
pub use trace::Trace;

mod disk;
mod process;
mod stage;
mod taste;
mod trace;

/// So much never happens in one process.
const ENOUGH: u64 = 30_000;

/// When a process dies.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    /// While the store is to commit for this time, over all processes.
    pub commit: u64,
    /// After the store has it and before anybody hears of it; or before.
    pub after: bool,
}

/// Who disturbs a run, and when.
#[derive(Debug, Clone, Copy)]
pub enum Disturbed<'a> {
    /// The dice say so.
    Often,
    /// Only processes die.
    By(&'a [Death]),
    /// Only somebody cancels a job, while the store is to commit for this time.
    ByCancelling(u64),
}

/// One schedule.
pub struct Schedule {
    dice: Random,
    taste: Taste,
    plan: Plan,
    jobs: u64,
    audit: Audit,
    spy: Spy<Walk, Audit>,
    stage: Stage,
    trace: Trace,
    clock: Clock,
    /// Commits of all processes.
    commits: u64,
    /// At which of them a job is to be cancelled.
    cancel_at: Option<u64>,
    /// Where the run is.
    _folder: TempDir,
}

/// What can happen next.
#[derive(Debug, Clone, Copy)]
enum Choice {
    Step,
    Disk,
    Time,
    Operator,
    Death,
}

/// Goes through the schedule of a seed, and checks it. Gives what happened, which is printed too if it is said `aloud`,
/// and the number of commits.
///
/// Deaths are those of the first processes.
///
/// # Panics
/// When something is not as it must be.
pub fn play(kind: Kind, seed: u64, disturbed: Disturbed<'_>, aloud: bool) -> (Trace, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // Whoever yields goes on when nobody else has anything to do.
        .event_interval(u32::MAX)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let calm = !matches!(disturbed, Disturbed::Often);
        let mut schedule = Schedule::new(kind, seed, Trace::new(aloud), calm);
        let deaths = match disturbed {
            Disturbed::By(deaths) => deaths,
            Disturbed::Often | Disturbed::ByCancelling(_) => &[],
        };
        if let Disturbed::ByCancelling(commit) = disturbed {
            schedule.cancel_at = Some(commit);
        }
        schedule.processes(deaths).await;
        (schedule.trace, schedule.commits)
    })
}

impl Schedule {
    fn new(kind: Kind, number: u64, trace: Trace, calm: bool) -> Self {
        let mut dice = Random::new(number);
        let taste = Taste::new(&mut dice, calm);
        let plan = taste.plan(number);
        let jobs = taste.jobs;
        let (audit, stage) = (Audit::default(), Stage::new(trace.clone()));
        audit.lock().stage = Some(stage.clone());
        let folder = tempfile::tempdir().expect("a folder");
        let spy = Spy::watched(kind.at(folder.path()), audit.clone());
        let mut run = Run::open(spy.clone()).expect("a new run");
        seed(&mut run, plan, jobs).expect("it is seeded");
        let clock = Clock::starting_at(START);
        Schedule {
            dice,
            taste,
            plan,
            jobs,
            audit,
            spy,
            stage,
            trace,
            clock,
            commits: 0,
            cancel_at: None,
            _folder: folder,
        }
    }

    /// Process after process, until the run is complete.
    async fn processes(&mut self, deaths: &[Death]) {
        for n in 0.. {
            let last = n >= deaths.len().max(self.taste.processes);
            if last {
                self.release_all();
            }
            let ended = self.process(deaths.get(n).copied(), last).await;
            self.trace.add(format!("it ended: {ended:?}"));
            let left = self.check_between(ended);
            if left == 0 {
                break;
            }
            assert!(!last, "{left} jobs are left");
            let wait = Duration::from_millis(self.dice.below(2) * self.dice.below(300));
            advance(wait).await;
        }
        check_fates(&self.spy.jobs(), self.plan, self.jobs);
    }

    /// One process, from start to end. Says why it ended, unless it died.
    async fn process(&mut self, death: Option<Death>, last: bool) -> Option<Ending> {
        let mut process = self.open();
        let mut rests = true;
        for n in 0.. {
            assert!(n < ENOUGH, "it does not end: {:#?}", process.handle.overview());
            if !process.opened {
                process.opened = process.handle.overview().is_some();
                self.audit.lock().opens();
            }
            if rests {
                quiet().await;
                self.audit.lock().has_heard();
                if process.task.is_finished() {
                    break;
                }
                self.check_at_rest(&process);
            }
            if self.cancel_at.is_some_and(|at| process.disk.commits() && self.commits + 1 == at) {
                self.cancel_at = None;
                let job = JobId(self.dice.below(self.audit.lock().jobs_so_far()));
                self.cancels(&process, Cancels::Job(job));
            }
            let dies = death.filter(|death| process.disk.commits() && self.commits + 1 == death.commit);
            let choice = if dies.is_some() { Choice::Death } else { self.choice(&process, last, rests) };
            // The next thing may happen before anybody has heard of this one.
            let rested = replace(&mut rests, self.dice.below(100) >= self.taste.haste);
            if !rested || !rests {
                self.audit.lock().is_slow_to_hear();
            }
            match choice {
                Choice::Step => self.step_ends(),
                Choice::Disk => self.disk_is_done(&mut process, last),
                Choice::Time => self.time_goes_on(&process).await,
                Choice::Operator => self.operator_comes(&mut process),
                Choice::Death => {
                    let after = dies.map_or_else(|| self.dice.once_in(2), |death| death.after);
                    self.dies(process, after).await;
                    return None;
                }
            }
        }
        process.disk.is_let_go();
        match (&mut process.task).await.expect("no task of ours panics") {
            Ok(summary) => Some(summary.ending),
            Err(error) => {
                assert!(process.disk.has_failed(), "{error}");
                None
            }
        }
    }

    fn open(&mut self) -> Process {
        let disk = Disk::new(self.trace.clone());
        self.audit.opened(self.clock, &self.spy.jobs());
        self.audit.lock().held = self.spy.header().held.iter().map(|state| state.name()).collect();
        let mut run = Run::open(Slow::new(self.spy.clone(), disk.clone())).expect("the run is there");
        let grace = Duration::from_millis(self.taste.grace);
        let processor = Processor::new(self.audit.clone()).clock(self.clock).seed(7).grace(grace);
        let mut processor =
            processor.window(self.taste.window).listener(Told(self.audit.clone(), disk.clone()));
        let handle = processor.handle();
        let task = tokio::spawn(async move { processor.exec(&mut run).await });
        self.trace.add("a process starts".into());
        Process { task, handle, disk, opened: false, stopped: false }
    }

    fn choice(&mut self, process: &Process, last: bool, rests: bool) -> Choice {
        let taste = self.taste;
        let mut choices = vec![(Choice::Time, taste.time)];
        if self.stage.waiting() > 0 {
            choices.push((Choice::Step, taste.steps));
        }
        if process.disk.is_busy() {
            choices.push((Choice::Disk, taste.disk));
        }
        if choices.len() == 1 && rests {
            // Nothing happens by itself: only time goes on, if anybody waits for that.
            let waits = !process.stopped && self.audit.lock().waits_for_time();
            assert!(waits, "it hangs: nobody has anything to do, and the run has not ended");
        }
        if !last {
            choices.extend([(Choice::Operator, taste.operator), (Choice::Death, taste.death)]);
        }
        let mut n = self.dice.below(choices.iter().map(|(_, weight)| weight).sum::<u64>().max(1));
        let chosen = choices.iter().find(|(_, weight)| {
            let here = n < *weight;
            n = n.saturating_sub(*weight);
            here
        });
        chosen.map_or(Choice::Time, |(choice, _)| *choice)
    }

    fn step_ends(&mut self) {
        let which = self.dice.below(self.stage.waiting() as u64);
        let hesitates = self.hesitation();
        self.stage.cue(usize::try_from(which).expect("it is small"), hesitates);
    }

    /// So many times, others go first.
    fn hesitation(&mut self) -> u64 {
        self.dice.below(2) * self.dice.below(8)
    }

    fn disk_is_done(&mut self, process: &mut Process, last: bool) {
        let fails = !last && self.taste.failure > 0 && self.dice.below(1_000) < self.taste.failure;
        let fails = fails.then(|| self.dice.once_in(2));
        self.commits += u64::from(process.disk.commits());
        process.stopped |= fails.is_some();
        process.disk.is_done(fails);
        self.audit.lock().stirs();
    }

    /// A little; or until something is due; or long after that.
    async fn time_goes_on(&mut self, process: &Process) {
        let due = self.audit.lock().next_due().map(|at| at.since(self.clock.now()));
        let little = Duration::from_millis(1 + self.dice.below(self.taste.little));
        let idle = self.stage.waiting() == 0 && !process.disk.is_busy();
        let wait = match due {
            Some(due) if idle || self.dice.once_in(3) => {
                due + little * u32::from(self.dice.below(100) < self.taste.late)
            }
            _ => little,
        };
        self.trace.add(format!("{wait:?} pass"));
        advance(wait).await;
    }

    /// An operator does something, while everybody else does something too.
    fn operator_comes(&mut self, process: &mut Process) {
        let state = STATES[usize::try_from(self.dice.below(4)).expect("it is small")].0;
        let what = self.dice.below(19);
        if what >= 16 {
            let job = JobId(self.dice.below(self.audit.lock().jobs_so_far()));
            return self.cancels(process, if what == 18 { Cancels::State(state) } else { Cancels::Job(job) });
        }
        let hesitates = self.hesitation();
        process.stopped |= what < 2;
        let task = process.task.abort_handle();
        let (handle, audit, trace) = (process.handle.clone(), self.audit.clone(), self.trace.clone());
        tokio::spawn(async move {
            others_go_first(hesitates).await;
            trace.add(format!("the operator does {what} to {state}"));
            match what {
                0 => handle.stop(),
                1 => handle.stop_now(),
                _ => {}
            }
            if what < 2 {
                audit.lock().stopped = Some(Instant::now());
                return;
            }
            if task.is_finished() || handle.overview().is_some_and(|now| now.ending.is_some()) {
                return; // too late: this processor would hold it in another run
            }
            let held = what < 8;
            handle.set_held_named(state, held).expect("there is such a state");
            audit.lock().hold(state, held);
        });
    }

    /// An operator cancels jobs, and counts them.
    fn cancels(&mut self, process: &Process, which: Cancels) {
        let hesitates = self.hesitation();
        let (handle, audit, trace) = (process.handle.clone(), self.audit.clone(), self.trace.clone());
        let task = process.task.abort_handle();
        tokio::spawn(async move {
            others_go_first(hesitates).await;
            if task.is_finished() {
                return; // nobody would hear it
            }
            trace.add(format!("the operator cancels {which:?}"));
            let cancel = match which {
                Cancels::Job(job) => handle.cancel().job(job).expect("it is a number"),
                Cancels::State(state) => handle.cancel().state(state).expect("there is such a state"),
            };
            let there = audit.lock().meant(which);
            let answer = cancel.apply().await;
            trace.add(format!("{answer:?} were cancelled"));
            if let Ok(jobs) = answer {
                audit.lock().heard(which, there, jobs);
            }
        });
    }

    fn release_all(&mut self) {
        let mut run = Run::<Walk>::open(self.spy.clone()).expect("the run is there");
        for (state, ..) in STATES {
            run.set_held(state, false).expect("there is such a state");
            self.audit.lock().hold(state, false);
        }
    }

    /// The process dies; what it was about to write is there, or not.
    async fn dies(&mut self, process: Process, after: bool) {
        self.trace.add(format!("it dies, {} that is written", if after { "after" } else { "before" }));
        self.commits += u64::from(after && process.disk.commits());
        process.task.abort();
        quiet().await;
        process.disk.dies(after);
        self.stage.clear();
    }

    /// Everybody waits for something.
    fn check_at_rest(&self, process: &Process) {
        let mut account = self.audit.lock();
        if !process.disk.is_busy() && !process.stopped {
            account.check_nobody_waits_at_rest();
        }
        let late = account.is_out_of_grace(Duration::from_millis(self.taste.grace));
        assert!(!late || self.stage.waiting() == 0, "a step goes on after a stop and the grace");
        drop(account);
        if let Some(overview) = process.handle.overview() {
            Told(self.audit.clone(), process.disk.clone()).overview(&overview);
        }
        let account = self.audit.lock();
        assert!(account.wrong.is_empty(), "{:#?}", account.wrong);
    }

    /// The counts of the store are those of its jobs, and the account's; and nothing of what happened to a job is
    /// missing. Gives the number of those that are not done.
    fn check_between(&mut self, ended: Option<Ending>) -> u64 {
        self.audit.check();
        let (header, jobs) = (self.spy.header(), self.spy.jobs());
        let mut account = self.audit.lock();
        account.check_counts(&header.counts, &jobs);
        account.check_joins(&jobs);
        if ended == Some(Ending::Complete) {
            account.check_complete(&header);
        }
        if ended.is_some() {
            account.check_held(&header);
        }
        account.check_cancelled(ended.is_some());
        for record in &jobs {
            account.check_story(&record.job, &self.spy.story(record.job.id.0));
        }
        drop(account);
        self.audit.check();
        header.counts.of(Status::Ready)
    }
}

/// Lets whoever has something to do go first, so many times.
async fn others_go_first(times: u64) {
    for _ in 0..times {
        let mut again = false;
        poll_fn(|cx| {
            if replace(&mut again, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// All others go as far as they can. Timers that are due go off on the way.
async fn quiet() {
    for _ in 0..4 {
        yield_now().await;
    }
}

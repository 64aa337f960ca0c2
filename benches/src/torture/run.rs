//! One run, from its first process to its completion.
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jorb::JobId;

use super::{
    account::{Account, Tally, Wrong},
    child::{Drive, End},
    dice::Dice,
    fault::{Kind, Round},
    live::{Lived, live},
    marks::monotonic,
    power::{Books, Loss},
    shim::{Shim, Word},
    stored::{beside, copy_run, read},
    wal::spoil,
    walk::Plan,
};

/// Processes after which all that was written is taken as safe: what they wrote is kept until then.
const PROCESSES: usize = 4;

/// A run under torture.
pub(super) struct Tortured<'a> {
    folder: PathBuf,
    drive: Plan,
    shim: Option<&'a Shim>,
    books: Books,
    /// Somebody else than its processes has changed the run since the books began.
    changed: bool,
    clock: Clock,
    account: Account,
    /// Bytes of the log that were read.
    read: usize,
}

/// How a round went.
#[derive(Debug)]
pub(super) struct Went {
    pub(super) end: Ended,
    pub(super) met: Vec<Kind>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Killed,
    /// At a change of a file.
    KilledAtAWrite,
    /// By saying that the disk fails.
    Told,
    Complete,
    /// In a way that was found wrong.
    Otherwise,
}

impl<'a> Tortured<'a> {
    /// A new run in a new folder.
    pub(super) fn new(folder: &Path, plan: Plan, shim: Option<&'a Shim>) -> io::Result<Self> {
        fs::create_dir(folder)?;
        let folder = folder.canonicalize()?;
        let books = Books::new(&folder);
        let (clock, account) = (Clock::new()?, Account::new(plan));
        Ok(Tortured { folder, drive: plan, shim, books, changed: true, clock, account, read: 0 })
    }

    /// A process drives the run, meets what there is in a round, and dies. What it leaves is looked at.
    pub(super) fn round(&mut self, round: &Round, dice: &mut Dice) -> io::Result<Went> {
        let drive = Drive::new(&self.folder, self.drive, round.again);
        let mut met = Vec::new();
        let run = self.run();
        if self.shim.is_some() && (self.changed || self.books.processes() == PROCESSES) {
            self.books.begin(&run)?;
            self.changed = false;
        }
        let lived = match self.shim {
            Some(shim) => {
                shim.reset()?;
                self.clock.begin(shim, round.clock, dice)?;
                let journal = self.books.next().to_owned();
                let lived = live(&self.folder, &drive, round, Some((shim, &journal)), dice)?;
                self.clock.end();
                met.extend(round.clock.filter(|_| shim.get(Word::ClockReads).is_ok_and(|reads| reads > 0)));
                lived
            }
            None => live(&self.folder, &drive, round, None, dice)?,
        };
        let Lived { status, at_a_write, met: during, still, wrong } = lived;
        met.extend(during);
        if let Some(text) = wrong {
            self.account.tally.wrong(Wrong::Process, text);
        }
        if let Some((from, to)) = still {
            self.account.stood_still(from, to);
        }
        self.read_log()?;
        let end = match status.code() {
            None if at_a_write => Ended::KilledAtAWrite,
            None => Ended::Killed,
            Some(code) if code == End::Disk as i32 => Ended::Told,
            Some(code) if code == End::Complete as i32 => Ended::Complete,
            Some(_) => Ended::Otherwise,
        };
        let killed = end.is_kill();
        let mut lost = None;
        match round.after.filter(|_| killed) {
            Some(Kind::PowerCut) => {
                lost = self.cut_power(dice)?;
                met.extend(lost.map(|_| Kind::PowerCut));
            }
            Some(kind) => {
                self.changed = true;
                met.extend(spoil(&beside(&run, "-wal"), dice)?.then_some(kind));
            }
            None => {}
        }
        self.look(dice, end == Ended::Complete, lost);
        if end == Ended::Complete {
            self.account.complete();
        }
        Ok(Went { end, met })
    }

    /// What was found.
    pub(super) fn tally(&mut self) -> &mut Tally {
        &mut self.account.tally
    }

    /// Jobs so far.
    pub(super) fn jobs(&self) -> usize {
        self.account.jobs()
    }

    fn run(&self) -> PathBuf {
        self.folder.join("run.jorb")
    }

    fn read_log(&mut self) -> io::Result<()> {
        let log = match fs::read(self.folder.join("steps")) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            log => log?,
        };
        self.account.read(&String::from_utf8_lossy(&log[self.read..]));
        self.read = log.len();
        Ok(())
    }

    /// Leaves the files as a power cut could. Gives the look from which on something may have been found that is lost.
    fn cut_power(&mut self, dice: &mut Dice) -> io::Result<Option<u64>> {
        let run = self.run();
        // For whoever wants to know what was lost.
        copy_run(&run, &self.folder.join("uncut.jorb"))?;
        self.changed = true;
        let process = self.books.cut(&run, dice.pick(&[Loss::All, Loss::End, Loss::Pages]), dice)?;
        // Each process of the books was looked at, but for this one.
        Ok(process.map(|process| self.account.looks() + 2 + process as u64 - self.books.processes() as u64))
    }

    /// Histories take the longest to read: all of them at the end, a few each time.
    fn look(&mut self, dice: &mut Dice, all: bool, lost: Option<u64>) {
        let pick = dice.below(40);
        let with_story = |id: JobId| all || id.0 % 40 == pick;
        match read(&self.run(), &self.folder.join("look.jorb"), with_story) {
            Ok(stored) => {
                if let Some(since) = lost {
                    self.account.power_cut(since, stored.as_ref());
                }
                self.account.look(stored.as_ref());
            }
            Err(e) => self.account.tally.wrong(Wrong::Integrity, format!("the run cannot be read: {e}")),
        }
    }
}

impl Ended {
    pub(super) fn is_kill(self) -> bool {
        matches!(self, Ended::Killed | Ended::KilledAtAWrite)
    }
}

/// What the run's processes take for the time. It never goes faster than time does: what a clock that is put forward
/// does while no process runs looks like time that has passed.
struct Clock {
    /// Of the monotonic clock, to add.
    since_1970: u64,
    /// How far it is set back.
    back: u64,
    /// When it was stopped.
    stopped: Option<u64>,
}

impl Clock {
    fn new() -> io::Result<Self> {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_err(io::Error::other)?;
        let now = u64::try_from(now.as_nanos()).map_err(io::Error::other)?;
        Ok(Clock { since_1970: now - monotonic(), back: 0, stopped: None })
    }

    fn begin(&mut self, shim: &Shim, what: Option<Kind>, dice: &mut Dice) -> io::Result<()> {
        if what == Some(Kind::ClockSetBack) {
            let most = dice.pick(&[1, 60, 3_600, 86_400].map(Duration::from_secs));
            self.back += u64::try_from(dice.time(most).as_nanos()).map_err(io::Error::other)?;
        }
        let stands = what == Some(Kind::ClockStopped);
        self.stopped = stands.then(monotonic);
        shim.set_clock(self.since_1970 + monotonic() - self.back, stands)
    }

    fn end(&mut self) {
        if let Some(stopped) = self.stopped.take() {
            self.back += monotonic() - stopped;
        }
    }
}

//! One process, from its start to its end, and what goes wrong meanwhile.
use std::{
    fs::{self, Permissions},
    io,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    child::{Drive, End},
    dice::Dice,
    fault::{Kill, Kind, Round},
    marks::monotonic,
    shim::{NO_END, Shim, Word},
    stored::{beside, files},
};

/// How often to look after a process.
const TICK: Duration = Duration::from_micros(500);
/// A process that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a process went.
pub(super) struct Lived {
    pub(super) status: ExitStatus,
    /// It was killed at a change of a file.
    pub(super) at_a_write: bool,
    /// What happened to it.
    pub(super) met: Option<Kind>,
    /// When it stood still, by the monotonic clock.
    pub(super) still: Option<(u64, u64)>,
    /// What is wrong with how it went.
    pub(super) wrong: Option<String>,
}

/// A process while it lives.
struct Live<'a> {
    child: Child,
    drive: &'a Drive,
    shim: Option<&'a Shim>,
    folder: &'a Path,
    began: Instant,
    still: Option<(u64, u64)>,
    wrong: Option<String>,
}

/// Lets a process live through a round.
pub(super) fn live(
    folder: &Path,
    drive: &Drive,
    round: &Round,
    shim: Option<(&Shim, &Path)>,
    dice: &mut Dice,
) -> io::Result<Lived> {
    let locked = match round.during {
        Some((Kind::ReadOnlyFile, _)) => Locked::new(&folder.join("run.jorb"), shim.map(|(shim, _)| shim))?,
        _ => None,
    };
    if let (Some((shim, _)), Kill::AtCall(n, how, _)) = (shim, round.kill) {
        shim.set(Word::DieHow, how)?;
        shim.set(Word::DieAt, n)?;
    }
    let child = drive.spawn(shim)?;
    let shim = shim.map(|(shim, _)| shim);
    let mut live = Live { child, drive, shim, folder, began: Instant::now(), still: None, wrong: None };
    let status = live.through(round, dice)?;
    let Live { still, mut wrong, .. } = live;
    let mut met = still.map(|_| Kind::SecondProcess);
    let refused = shim.map_or(Ok(0), Shim::refused)?;
    if let Some((kind, _)) = round.during
        && refused > 0
    {
        met = Some(kind);
    }
    if let Some(locked) = locked {
        met = Some(Kind::ReadOnlyFile);
        wrong = wrong.or(locked.unlock()?);
    }
    let said = status.code();
    let fits = match said {
        None => status.signal() == Some(Signal::KILL.as_raw()),
        Some(code) if code == End::Complete as i32 => true,
        Some(code) if code == End::Disk as i32 => refused > 0 || met == Some(Kind::ReadOnlyFile),
        Some(_) => false,
    };
    if !fits {
        wrong =
            wrong.or(Some(format!("a process ended with {status}: {}", last_line(&folder.join("errors")))));
    }
    let loaded = shim.map_or(Ok(1), |shim| shim.get(Word::Loaded))?;
    if loaded == 0 && said.is_some() {
        wrong =
            wrong.or(Some("the library of faults was not loaded: may programs run from this folder?".into()));
    }
    let at_a_write = shim.map_or(Ok(0), |shim| shim.get(Word::Deaths))? > 0;
    Ok(Lived { status, at_a_write, met, still, wrong })
}

impl Live<'_> {
    fn through(&mut self, round: &Round, dice: &mut Dice) -> io::Result<ExitStatus> {
        let until = match round.kill {
            Kill::After(time) | Kill::AtCall(_, _, time) => Some(time),
            Kill::Never => None,
        };
        let mut begins = round.during;
        let mut lifts = None;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            let age = self.began.elapsed();
            if until.is_some_and(|until| age >= until) {
                return self.kill();
            }
            if age > PATIENCE {
                self.wrong = Some(format!("a process is not done after {PATIENCE:?}"));
                return self.kill();
            }
            if let Some((kind, _)) = begins.take_if(|(_, from)| age >= *from) {
                self.begin(kind, dice)?;
            }
            // Files that are read-only stay so until the process is dead.
            if let (Some(shim), Some((Kind::DiskFull | Kind::ReadOnlyDisk | Kind::FsyncFails, _))) =
                (self.shim, round.during)
            {
                if lifts.is_none() && shim.refused()? > 0 {
                    lifts = Some(age + dice.time(Duration::from_millis(60)));
                }
                if lifts.is_some_and(|lifts| age >= lifts) {
                    shim.lift()?;
                }
            }
            sleep(TICK);
        }
    }

    fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    fn begin(&mut self, kind: Kind, dice: &mut Dice) -> io::Result<()> {
        const ENOSPC: u64 = 28;
        const EROFS: u64 = 30;
        if kind == Kind::SecondProcess {
            return self.second();
        }
        let Some(shim) = self.shim else { return Ok(()) };
        match kind {
            Kind::DiskFull => {
                shim.set(Word::WriteError, ENOSPC)?;
                shim.set(Word::Space, dice.of_all_sizes(19))
            }
            Kind::ReadOnlyDisk => {
                shim.set(Word::WriteError, EROFS)?;
                shim.set(Word::Space, 0)
            }
            Kind::FsyncFails => shim.set(Word::Syncs, dice.pick(&[1, 1, 2, 3, NO_END])),
            _ => Ok(()),
        }
    }

    /// A second process opens the run while the first one stands still: it is refused, and changes nothing.
    fn second(&mut self) -> io::Result<()> {
        let log = fs::read(self.folder.join("steps")).unwrap_or_default();
        let pid = self.child.id();
        let begins = format!("opened {pid}.");
        if !log.windows(begins.len()).any(|bytes| bytes == begins.as_bytes()) {
            return Ok(()); // it may not have the run yet
        }
        let from = monotonic();
        signal(&self.child, Signal::STOP)?;
        let began = Instant::now();
        while !stands_still(pid) {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other("a process cannot be stopped"));
            }
            sleep(TICK);
        }
        let before = bytes(self.folder)?;
        let errors = fs::metadata(self.folder.join("errors"))?.len();
        let mut second = self.drive.spawn(None)?;
        let status = loop {
            if let Some(status) = second.try_wait()? {
                break Some(status);
            }
            if began.elapsed() > PATIENCE {
                second.kill()?;
                second.wait()?;
                break None;
            }
            sleep(TICK);
        };
        let after = bytes(self.folder)?;
        signal(&self.child, Signal::CONT)?;
        self.still = Some((from, monotonic()));
        let said = fs::read_to_string(self.folder.join("errors"))?;
        let said = said.get(usize::try_from(errors).unwrap_or(0)..).unwrap_or_default();
        if status.and_then(|status| status.code()) != Some(End::InUse as i32) {
            self.wrong = Some(format!("a second process ended with {status:?}: {said}"));
        } else if !said.contains(&format!(" {pid};")) {
            self.wrong = Some(format!("a second process was not told of process {pid}: {said}"));
        } else if before != after {
            self.wrong = Some("a second process changed the run".into());
        }
        Ok(())
    }
}

fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    Ok(kill_process(pid.ok_or_else(|| io::Error::other("no such process"))?, signal)?)
}

/// The letter behind the name in brackets.
fn stands_still(pid: u32) -> bool {
    let says = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    says.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}

/// All that a process may change, but for the index of the log, which readers change too.
fn bytes(folder: &Path) -> io::Result<Vec<Option<Vec<u8>>>> {
    let run = folder.join("run.jorb");
    let all = files(&run).into_iter().chain([beside(&run, ".lock"), folder.join("steps")]);
    all.map(|file| match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    })
    .collect()
}

fn last_line(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().last().unwrap_or_default().to_owned()
}

/// A run whose files cannot be written. Whom permissions do not stop, the shim does.
struct Locked {
    run: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Locked {
    /// Nothing when there is no run yet.
    fn new(run: &Path, shim: Option<&Shim>) -> io::Result<Option<Self>> {
        if !run.exists() || shim.is_none() && rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let there = files(run).into_iter().filter(|file| file.exists());
        let files =
            there.map(|file| fs::read(&file).map(|bytes| (file, bytes))).collect::<io::Result<_>>()?;
        let locked = Locked { run: run.to_owned(), files };
        locked.set_mode(0o444)?;
        if let Some(shim) = shim {
            shim.set(Word::Deny, 1)?;
        }
        Ok(Some(locked))
    }

    /// Says what was changed all the same.
    fn unlock(self) -> io::Result<Option<String>> {
        self.set_mode(0o644)?;
        for (file, bytes) in self.files {
            let same = match fs::read(&file) {
                Ok(now) => now == bytes,
                Err(e) if e.kind() == io::ErrorKind::NotFound => false,
                Err(e) => return Err(e),
            };
            if !same {
                return Ok(Some(format!("{} was read-only and has changed", file.display())));
            }
        }
        Ok(None)
    }

    /// Of all files: SQLite makes the index of the log with the permissions that the run has just then.
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let all = files(&self.run).into_iter().chain([beside(&self.run, "-shm")]);
        all.filter(|file| file.exists())
            .try_for_each(|file| fs::set_permissions(file, Permissions::from_mode(mode)))
    }
}

//! Which faults a process meets, and when.
use std::{fmt, time::Duration};

use super::dice::Dice;

/// What goes wrong besides the kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Garbage behind the last commit in the log.
    GarbageInLog,
    /// The power is cut: what was not synced is lost, some of it or all.
    PowerCut,
    /// No space is left, after so many bytes.
    DiskFull,
    /// The disk becomes read-only, as file systems do after an error.
    ReadOnlyDisk,
    /// The files may not be written.
    ReadOnlyFile,
    /// Syncing fails.
    FsyncFails,
    /// The system's clock stands still.
    ClockStopped,
    /// It is set back.
    ClockSetBack,
    /// A second process opens the run.
    SecondProcess,
}

impl Kind {
    pub(super) const ALL: [Kind; 9] = [
        Kind::GarbageInLog,
        Kind::PowerCut,
        Kind::DiskFull,
        Kind::ReadOnlyDisk,
        Kind::ReadOnlyFile,
        Kind::FsyncFails,
        Kind::ClockStopped,
        Kind::ClockSetBack,
        Kind::SecondProcess,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::GarbageInLog => "garbage behind the last commit in the log",
            Kind::PowerCut => "power cuts that lost what was not synced",
            Kind::DiskFull => "full disks",
            Kind::ReadOnlyDisk => "disks that became read-only",
            Kind::ReadOnlyFile => "read-only files",
            Kind::FsyncFails => "disks that failed to sync",
            Kind::ClockStopped => "clocks that stood still",
            Kind::ClockSetBack => "clocks that were set back",
            Kind::SecondProcess => "second processes, all refused",
        })
    }
}

/// How a process ends that does not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kill {
    /// After so long.
    After(Duration),
    /// At the how manyth change of a file: before, in the middle of, or after it. At the latest after so long.
    AtCall(u64, u64, Duration),
    /// Not at all.
    Never,
}

/// What one process meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) kill: Kill,
    /// While it runs, from this moment on.
    pub(super) during: Option<(Kind, Duration)>,
    pub(super) clock: Option<Kind>,
    pub(super) after: Option<Kind>,
    /// So often it tries again by itself.
    pub(super) again: u32,
}

/// Deals rounds so that every kind comes now and then, also in a short bench.
pub(super) struct Deck {
    during: Vec<Kind>,
}

impl Round {
    /// Without any fault.
    pub(super) const CALM: Round =
        Round { kill: Kill::Never, during: None, clock: None, after: None, again: 0 };
}

impl Deck {
    pub(super) fn new() -> Self {
        Deck { during: Vec::new() }
    }

    /// The next round. Without the shim there are fewer faults.
    pub(super) fn deal(&mut self, dice: &mut Dice, shim: bool) -> Round {
        let ms = Duration::from_millis;
        // Often at the start, where the run is opened; at times after a while.
        let most = dice.pick(&[25, 80, 300, 300, 1_000].map(ms));
        let kill = match dice.below(2) {
            0 if shim => Kill::AtCall(dice.of_all_sizes(13) + 1, dice.below(3), ms(300)),
            _ => Kill::After(dice.time(most)),
        };
        let mut round = Round { kill, ..Round::CALM };
        if dice.one_in(3) {
            let kind = self.next(dice);
            if shim || [Kind::ReadOnlyFile, Kind::SecondProcess].contains(&kind) {
                let from = dice.time(ms(80));
                round.during = Some((kind, from));
                round.again = u32::try_from(dice.below(2) * 4).expect("small");
                // It needs time to fail.
                round.kill = Kill::After(from + ms(20) + dice.time(ms(250)));
            }
        }
        if shim && dice.one_in(5) {
            round.clock = Some(dice.pick(&[Kind::ClockStopped, Kind::ClockSetBack]));
        }
        round.after = match dice.below(4) {
            0 => Some(Kind::GarbageInLog),
            1 if shim => Some(Kind::PowerCut),
            _ => None,
        };
        round
    }

    fn next(&mut self, dice: &mut Dice) -> Kind {
        const ALL: [Kind; 9] = [
            Kind::DiskFull,
            Kind::DiskFull,
            Kind::ReadOnlyDisk,
            Kind::FsyncFails,
            Kind::FsyncFails,
            Kind::FsyncFails,
            Kind::ReadOnlyFile,
            Kind::ReadOnlyFile,
            Kind::SecondProcess,
        ];
        if self.during.is_empty() {
            self.during = ALL.to_vec();
        }
        let n = dice.below(self.during.len() as u64);
        self.during.swap_remove(usize::try_from(n).expect("an index"))
    }
}

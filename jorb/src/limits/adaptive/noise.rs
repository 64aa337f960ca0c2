//! Throttles that have nothing to do with the rate.

/// Most of all answers that are forgiven: less than a backoff takes away, so that it leads below the limit for sure.
const MOST: f64 = 0.08;

/// Forgives the few percent of throttles that some services hand out whatever the rate.
///
/// They show in backoffs that do not help: the service refuses again well below the rate that was too much, and not
/// at once, as it does when its limit has fallen. After two of those, twice the share of throttles that was seen down
/// there is forgiven; just the share would be used up by chance again and again.
#[derive(Debug, Default)]
pub(super) struct Noise {
    /// Backoffs that did not help, of late.
    doubt: f64,
    /// Share of throttles well below the ceiling, smoothed over the last 128 answers, and how many those are.
    share: f64,
    heard: f64,
    pardons: f64,
}

impl Noise {
    /// An answer of the service, to a step that started `below` the ceiling or near it.
    pub(super) fn hear(&mut self, below: bool, refused: bool) {
        if below {
            self.heard = (self.heard + 1.0).min(128.0);
            self.share += (f64::from(u8::from(refused)) - self.share) / self.heard.max(24.0);
        }
        let earned = if self.doubt < 2.0 { 0.0 } else { (2.0 * self.share).min(MOST) };
        self.pardons = (self.pardons + earned).min(256.0 * earned);
    }

    /// Whether a throttle is to be overlooked.
    pub(super) fn forgives(&mut self) -> bool {
        let forgives = self.pardons >= 1.0;
        if forgives {
            self.pardons -= 1.0;
        }
        forgives
    }

    /// A backoff after so many answers that were no throttles.
    pub(super) fn back_off(&mut self, below: bool, taken: u64) {
        if !below {
            self.doubt = (self.doubt - 0.2).max(0.0);
        } else if taken >= 8 {
            self.doubt = (self.doubt + 1.0).min(4.0);
        }
    }
}

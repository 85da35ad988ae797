//! How long a whole benchmark takes. A software adapter compiles a shader for seconds, so the time that a row
//! would compile is estimated from earlier rows; a row that would exceed the time is left out, and says so.

use super::clock::{Instant, nanoseconds_since};
use super::schema::Suite;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Plan;
use crate::kernels::Variant;

/// How the time goes.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    /// Seconds of everything, and of what ends with the suite in work.
    most: Option<f64>,
    until: f64,
    /// Whether plans have shaders at all.
    shaders: bool,
    /// What the suite's device has compiled.
    known: Vec<Variant>,
    /// Shaders prepared so far, and the seconds they took until their row could be timed.
    prepared: usize,
    seconds: f64,
}

/// Shaders on their way.
pub(super) struct Preparation {
    start: Instant,
    new: usize,
}

impl Pace {
    pub fn new(most: Option<f64>, shaders: bool) -> Self {
        Self {
            start: Instant::now(),
            most,
            until: f64::INFINITY,
            shaders,
            known: Vec::new(),
            prepared: 0,
            seconds: 0.0,
        }
    }

    /// A suite begins, on a device of its own; of the whole time so much is over when it ends, what earlier
    /// suites left included.
    pub fn begin_suite(&mut self, suite: Suite, of: &[Suite]) {
        // The first suites say most; training compiles most.
        let weight = |suite: &Suite| match suite {
            Suite::Peaks => 1.0,
            Suite::Kernels => 6.0,
            Suite::Attention => 5.0,
            Suite::Model => 7.0,
            Suite::Train => 3.0,
        };
        let sum = |suites: &mut dyn Iterator<Item = &Suite>| suites.map(weight).sum::<f64>();
        let share = sum(&mut of.iter().filter(|s| **s <= suite)) / sum(&mut of.iter());
        self.until = self.most.map_or(f64::INFINITY, |most| most * share);
        self.known.clear();
    }

    /// Before a row's plans are compiled.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if they are foreseen to be ready after the suite's time.
    pub fn begin(&mut self, plans: &[&Plan]) -> Result<Preparation> {
        let mut new: Vec<&Variant> = Vec::new();
        for variant in
            plans.iter().flat_map(|plan| &plan.steps).map(|step| &step.variant).filter(|_| self.shaders)
        {
            if !self.known.contains(variant) && !new.contains(&variant) {
                new.push(variant);
            }
        }
        let ready = nanoseconds_since(self.start) * 1e-9 + self.foreseen(new.len());
        if let Some(most) = self.most.filter(|_| ready > self.until) {
            let shaders = match new.len() {
                0 => String::new(),
                1 => ", after compiling a shader,".into(),
                n => format!(", after compiling {n} shaders,"),
            };
            return Err(Error::new(
                ErrorKind::Limit,
                format!("would begin{shaders} too late to end everything within {most:.0} s"),
            ));
        }
        let new: Vec<Variant> = new.into_iter().cloned().collect();
        let count = new.len();
        self.known.extend(new);
        Ok(Preparation { start: Instant::now(), new: count })
    }

    /// A row's plans have run once.
    pub fn ready(&mut self, preparation: &Preparation) {
        if preparation.new > 0 {
            self.prepared += preparation.new;
            self.seconds += nanoseconds_since(preparation.start) * 1e-9;
        }
    }

    /// Seconds that so many shaders will take.
    fn foreseen(&self, shaders: usize) -> f64 {
        shaders as f64 * self.seconds / self.prepared.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_end_one_after_the_other() {
        let mut pace = Pace::new(Some(42.0), true);
        let ends = Suite::ALL.map(|suite| {
            pace.begin_suite(suite, &Suite::ALL);
            pace.until
        });
        assert!(ends.is_sorted() && ends[4] == 42.0, "{ends:?}");
        pace.begin_suite(Suite::Model, &[Suite::Model]);
        assert_eq!(pace.until, 42.0);
        pace = Pace::new(None, true);
        pace.begin_suite(Suite::Peaks, &Suite::ALL);
        assert_eq!(pace.until, f64::INFINITY);
    }

    #[test]
    fn shaders_are_foreseen_by_earlier_ones() {
        let mut pace = Pace::new(Some(10.0), true);
        assert_eq!(pace.foreseen(8), 0.0);
        (pace.prepared, pace.seconds) = (4, 6.0);
        assert_eq!(pace.foreseen(8), 12.0);
        pace.begin_suite(Suite::Train, &Suite::ALL);
        assert!(pace.begin(&[]).is_ok());
        pace.until = 0.0;
        assert_eq!(pace.begin(&[]).err().map(|e| e.kind()), Some(ErrorKind::Limit));
    }
}

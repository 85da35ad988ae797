//! A benchmark under way: makes rows, tells them, and leaves out what does not fit.

use std::ops::ControlFlow;

use super::clock;
use super::estimate::Estimator;
use super::options::{BenchModel, BenchOptions, Event};
use super::pace::Pace;
use super::roofline::Peaks;
use super::schema::{Build, Device, Row, Suite, Workload};
use super::timer::{Samples, Timer};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::KernelTime;
use crate::kernels::Precision;
use crate::model::{Engine, ModelSource};

/// A benchmark under way.
pub(super) struct Bench<'a> {
    pub engine: &'a Engine,
    pub model: Option<BenchModel<'a>>,
    pub options: &'a BenchOptions,
    pub device: Device,
    pub build: Build,
    pub peaks: Peaks,
    pub estimator: Estimator,
    pub pace: Pace,
    pub on_event: &'a mut dyn FnMut(Event) -> ControlFlow<()>,
    pub index: usize,
    pub of: usize,
}

impl Bench<'_> {
    /// A row without a time.
    pub fn row(&self, suite: Suite, name: &str, workload: Workload) -> Row {
        let workload = Workload { seed: Some(self.options.seed), ..workload };
        let mut row = Row::new(suite, name, workload, &self.device, &self.build);
        row.method.precision = Some(self.engine.precision().to_string());
        row
    }

    /// The most that an error may be, of which f32 allows `in_f32`.
    pub fn tolerance(&self, in_f32: f64) -> f64 {
        /// That many of the operands' own rounding, 2^-11, tells what is wrong from what is rounded, through all
        /// layers. What the error is, a row says; what a kernel's may be, its bound in `check`.
        const ROUNDINGS: f64 = 64.0 / 2048.0;
        if self.engine.precision() == Precision::Mixed { ROUNDINGS } else { in_f32 }
    }

    pub fn tell(&mut self, event: Event) -> Result<()> {
        match (self.on_event)(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(
                ErrorKind::Cancelled,
                format!("stopped after {} of {} rows", self.index, self.of),
            )),
        }
    }

    pub async fn started(&mut self, suite: Suite, what: &str) -> Result<()> {
        clock::breathe().await;
        self.tell(Event::Started {
            name: format!("{suite} {what}"),
            index: self.index,
            of: self.of.max(self.index + 1),
        })
    }

    pub fn finished(&mut self, row: Row) -> Result<()> {
        self.index += 1;
        self.tell(Event::Row(Box::new(row)))
    }

    /// A row with its samples, or with why there are none.
    pub fn complete(&self, mut row: Row, samples: Result<Samples>, timer: &Timer) -> Result<Row> {
        match samples {
            Ok(samples) => samples.fill(&mut row, timer),
            Err(error) => self.skip(&mut row, error)?,
        }
        row.derive(&self.peaks);
        Ok(row)
    }

    /// [`Bench::complete`], told.
    pub fn conclude(&mut self, row: Row, samples: Result<Samples>, timer: &Timer) -> Result<()> {
        let row = self.complete(row, samples, timer)?;
        self.finished(row)
    }

    /// Writes times by kernel into a row, or that this device takes none, and tells it.
    pub fn conclude_shares(&mut self, mut row: Row, shares: Result<Vec<KernelTime>>) -> Result<()> {
        match shares {
            Ok(shares) if shares.is_empty() => row.skipped = Some("this device has no timestamps".into()),
            Ok(shares) => row.derived.shares = Some(shares),
            Err(error) => self.skip(&mut row, error)?,
        }
        self.finished(row)
    }

    /// Writes into a row why it has no time; a lost device ends everything.
    pub fn skip(&self, row: &mut Row, error: Error) -> Result<()> {
        if matches!(error.kind(), ErrorKind::DeviceLost | ErrorKind::Cancelled) {
            return Err(error);
        }
        row.skipped = Some(error.message().to_string());
        Ok(())
    }

    /// An error if a row is foreseen to take longer than its budget.
    pub fn foresee(&self, seconds: f64) -> Result<()> {
        let budget = self.options.budget;
        if seconds <= budget {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Limit,
            format!("would take {seconds:.1} s, the budget of a row is {budget} s"),
        ))
    }

    /// The model's source.
    pub fn source(&self) -> Result<ModelSource> {
        let model = self
            .model
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Input, "a suite needs a model").help("give one"))?;
        (model.open)()
    }

    /// A workload of the model.
    pub fn model_workload(&self) -> Workload {
        Workload { model: self.model.as_ref().map(|m| m.name.clone()), ..Workload::default() }
    }

    /// An error if a plan needs more memory than there is.
    pub fn fits(&self, bytes: u64) -> Result<()> {
        match self.options.memory.filter(|most| bytes > *most) {
            None => Ok(()),
            Some(most) => Err(Error::new(
                ErrorKind::Limit,
                format!("needs {} MiB, {} MiB are free", bytes >> 20, most >> 20),
            )),
        }
    }
}

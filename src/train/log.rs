//! `train.jsonl`: a line of JSON for every step and every evaluation.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::files::{Whole, atomic_write, read_text};
use crate::text::json;

/// The log of a run.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
}

/// The line of a step.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StepLine {
    /// Its number, from 1.
    pub step: u64,
    /// Mean negative log-likelihood before it.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Norm of the gradient, before clipping.
    pub gradient_norm: f64,
    /// Tokens read so far.
    pub tokens: u64,
    /// Speed of this step.
    pub tokens_per_second: f64,
    /// Time since the run began.
    pub seconds: f64,
}

/// The line of an evaluation.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EvaluationLine {
    /// Steps before it.
    pub step: u64,
    /// Mean negative log-likelihood.
    pub eval_loss: f64,
    /// Positions scored.
    pub eval_scored: usize,
    /// Part of the answers that are right, for tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_accuracy: Option<f64>,
    /// Time since the run began.
    pub seconds: f64,
}

/// The losses of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curves {
    /// Step and loss.
    pub training: Vec<(u64, f64)>,
    /// Step and loss.
    pub evaluation: Vec<(u64, f64)>,
}

impl Log {
    /// The name of the file in the folder of a run.
    pub const NAME: &str = "train.jsonl";

    /// Opens the log of the run in `out`, to go on after `step`: lines of later steps, which a run wrote that
    /// got further than its last checkpoint, are removed.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn open(out: &Path, step: u64) -> Result<Self> {
        let path = out.join(Self::NAME);
        let kept: String = if step == 0 {
            String::new()
        } else {
            lines(&path)?.filter(|(at, ..)| *at <= step).map(|(_, line, _)| line + "\n").collect()
        };
        atomic_write(&path, |w| w.write_all(kept.as_bytes()))?;
        let file = File::options().append(true).open(&path).map_err(|e| Error::io(path.display(), &e))?;
        Ok(Self { path, file, length: kept.len() as u64 })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io); what was written of the line is taken back.
    pub fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let written = serde_json::to_string(line).map_err(Into::into).and_then(|text| {
            let text = text + "\n";
            self.file.write_all(text.as_bytes())?;
            self.length += text.len() as u64;
            Ok(())
        });
        written.map_err(|e| {
            // Where even that fails, a reader skips half a line.
            let _ = self.file.set_len(self.length);
            Error::io(self.path.display(), &e)
        })
    }
}

impl Curves {
    /// Reads them from the log of the run in `out`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn read(out: &Path) -> Result<Self> {
        let mut curves = Self::default();
        for (step, _, value) in lines(&out.join(Log::NAME))? {
            curves.training.extend(value["loss"].as_f64().map(|loss| (step, loss)));
            curves.evaluation.extend(value["eval_loss"].as_f64().map(|loss| (step, loss)));
        }
        Ok(curves)
    }
}

/// Step, text and content of the lines that are whole.
fn lines(path: &Path) -> Result<impl Iterator<Item = (u64, String, Value)>> {
    let text = if path.exists() { read_text(path, Whole::Content)? } else { String::new() };
    let lines: Vec<String> = text.lines().map(str::to_string).collect();
    Ok(lines.into_iter().filter_map(|line| {
        let value: Value = json(&line).ok()?;
        Some((value["step"].as_u64()?, line, value))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_log_goes_on_after_its_checkpoint() {
        let dir = tempfile::tempdir().expect("folder");
        let mut log = Log::open(dir.path(), 0).expect("opens");
        for step in 1..=5 {
            log.write(&json!({ "step": step, "loss": 1.0 / step as f64 })).expect("writes");
            if step % 2 == 0 {
                log.write(&json!({ "step": step, "eval_loss": step })).expect("writes");
            }
        }
        let path = dir.path().join(Log::NAME);
        let whole = read_text(&path, Whole::Content).expect("reads");
        // A line that was cut off.
        std::fs::write(&path, format!("{whole}{{\"step\": 3, \"lo")).expect("writes");
        let mut log = Log::open(dir.path(), 4).expect("opens");
        log.write(&json!({ "step": 5, "loss": 0.2 })).expect("writes");
        assert_eq!(read_text(&path, Whole::Content).expect("reads"), whole);
        let curves = Curves::read(dir.path()).expect("reads");
        assert_eq!((curves.training.len(), curves.training[2]), (5, (3, 1.0 / 3.0)));
        assert_eq!(curves.evaluation, [(2, 2.0), (4, 4.0)]);
        Log::open(dir.path(), 0).expect("opens");
        assert_eq!(Curves::read(dir.path()).expect("reads"), Curves::default());
    }
}

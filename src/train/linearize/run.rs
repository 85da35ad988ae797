//! Linearising as a run that can be interrupted: the loop, and what it leaves in its folder.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::learning::{Distance, Learning};
use super::settings::LinearizeSettings;
use super::student::Student;
use super::texts::Texts;
use crate::error::{Error, ErrorKind, Result};
use crate::files::atomic_write;
use crate::model::Adapter;
pub use crate::model::adapter::ADAPTER;
use crate::model::tensor_file::{TensorData, TensorFile, safetensors_bytes};
use crate::train::log::Log;

/// What a run goes on from.
const STATE: &str = "state.safetensors";

/// What a run tells.
#[derive(Debug)]
pub enum Event<'a> {
    /// After a step: its number, the distance from the teacher before it, seconds since the run began.
    Step(u64, &'a Distance, f64),
    /// The distance over what was held out.
    Evaluation(u64, &'a Distance),
    /// The files are written.
    Saved(&'a Path),
}

/// How often a run does what.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Steps between evaluations.
    pub evaluate: u64,
    /// Steps between saved states.
    pub save: u64,
}

/// A line of a step.
#[derive(Serialize)]
struct StepLine<'a> {
    step: u64,
    tokens: u64,
    lr: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<&'a [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kl: Option<f64>,
    seconds: f64,
}

/// A line of an evaluation.
#[derive(Serialize)]
struct EvaluationLine<'a> {
    step: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_out_error: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_out_layers: Option<&'a [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_out_kl: Option<f64>,
}

impl<'a> EvaluationLine<'a> {
    fn of(step: u64, distance: &'a Distance) -> Self {
        let (error, kl) = either(distance);
        Self { step, held_out_error: error, held_out_layers: distance.layers(), held_out_kl: kl }
    }
}

/// Mean relative L2, or KL.
fn either(distance: &Distance) -> (Option<f64>, Option<f64>) {
    let mean = Some(distance.mean());
    if distance.layers().is_some() { (mean, None) } else { (None, mean) }
}

/// A run in its folder.
#[derive(Debug)]
pub struct Run {
    /// The folder.
    pub out: PathBuf,
    /// What is asked for.
    pub settings: LinearizeSettings,
    /// The command, for the adapter's notes.
    pub command: String,
    /// The adapter of [`LinearizeSettings::begin`].
    pub begin: Option<Adapter>,
}

impl Run {
    /// The settings and steps of the run in a folder, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for a damaged state.
    pub fn found(out: &Path) -> Result<Option<(LinearizeSettings, u64, f64)>> {
        let path = out.join(STATE);
        if !path.exists() {
            return Ok(None);
        }
        let notes = TensorFile::open(&path)?.notes();
        let note = |key: &str| notes.get(key).map(String::as_str).unwrap_or_default();
        let damaged = || {
            Error::new(ErrorKind::ModelFormat, format!("{}: is no state of a run", path.display()))
                .help("begin anew with another --out")
        };
        let settings = serde_json::from_str(note("settings")).map_err(|_| damaged())?;
        let step = note("step").parse().map_err(|_| damaged())?;
        Ok(Some((settings, step, note("seconds").parse().unwrap_or(0.0))))
    }

    /// Refuses to go on with other settings than those of the run in a folder.
    ///
    /// # Errors
    /// [`ErrorKind::Input`].
    pub fn check_same(out: &Path, before: &LinearizeSettings, now: &LinearizeSettings) -> Result<()> {
        if before == now {
            return Ok(());
        }
        let of_data = LinearizeSettings { data: now.data, ..before.clone() } == *now;
        let of_begin = LinearizeSettings { begin: now.begin, ..before.clone() } == *now;
        let what = match (of_data, of_begin) {
            (true, _) => "on other texts",
            (_, true) => "that began from something else",
            _ => "of other settings",
        };
        let text = format!("{}: holds a run {what}", out.display());
        Err(Error::new(ErrorKind::Input, text).help("give the same options, or another --out"))
    }

    /// Runs from the first step, or from where the folder's run stopped, to the last one, or until `tell` says to stop
    /// after a step; then saves.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a folder with a run of other settings; [`ErrorKind::Numeric`] where it diverges; those
    /// of files and device.
    pub async fn run(
        &self,
        learning: &mut Learning,
        [training, held_out]: [&Texts; 2],
        rhythm: Rhythm,
        tell: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<u64> {
        let settings = &self.settings;
        let (mut step, earlier) = match Self::found(&self.out)? {
            Some((before, step, seconds)) => {
                Self::check_same(&self.out, &before, settings)?;
                let file = TensorFile::open(&self.out.join(STATE))?;
                if file.notes().get("base") != Some(&format!("{:016x}", learning.student().base())) {
                    let text = format!("{}: holds a run of another teacher", self.out.display());
                    return Err(Error::new(ErrorKind::Input, text).help("give its teacher, or another --out"));
                }
                let read = |name: String| Ok((name.clone(), file.f32(&name)?));
                let state = file.names().into_iter().map(read).collect::<Result<Vec<_>>>()?;
                learning.student_mut().restore(&state).await?;
                (step, seconds)
            }
            None => {
                match (&self.begin, &mut *learning) {
                    (Some(begin), learning) => {
                        learning.student_mut().begin(begin).await?;
                        if let Some(logit) = settings.begin.and_then(|begin| begin.gate) {
                            learning.student_mut().open_gates(logit).await?;
                        }
                    }
                    (None, Learning::Attention(transfer)) => {
                        // Long enough that every layer has far keys.
                        let l = &settings.linearized;
                        let exact = l.near.iter().max().map_or(0, |near| near * l.block_size);
                        let tokens = settings.context.min(1024.max(exact + 4 * l.block_size));
                        let text = training.of_step(1, tokens, settings.seed, 0);
                        transfer.calibrate(&text[0]).await?;
                    }
                    (None, Learning::Logits(_)) => {
                        let text = "learning from logits begins from an adapter";
                        return Err(Error::new(ErrorKind::Input, text).help("give --begin FILE"));
                    }
                }
                (0, 0.0)
            }
        };
        let mut log = Log::open(&self.out, step)?;
        let window = held_out.spread(2, settings.context.max(2048));
        let began = Instant::now();
        let seconds = || earlier + began.elapsed().as_secs_f64();
        if step == 0 {
            let distance = learning.distance(&window).await?;
            log.write(&EvaluationLine::of(step, &distance))?;
            let _ = tell(Event::Evaluation(step, &distance));
        }
        if settings.steps == 0 {
            self.save(learning.student(), step, seconds()).await?;
            let _ = tell(Event::Saved(&self.out.join(ADAPTER)));
        }
        while step < settings.steps {
            step += 1;
            let texts = training.of_step(settings.batch, settings.context, settings.seed, step);
            let distance = learning.step(&texts, step).await?;
            let (tokens, lr) = (settings.tokens(step), settings.schedule().rate(step));
            let ((error, kl), layers) = (either(&distance), distance.layers());
            log.write(&StepLine { step, tokens, lr, error, layers, kl, seconds: seconds() })?;
            let stop = tell(Event::Step(step, &distance, seconds())).is_break() || step == settings.steps;
            if step.is_multiple_of(rhythm.evaluate) || step == settings.steps {
                let distance = learning.distance(&window).await?;
                log.write(&EvaluationLine::of(step, &distance))?;
                let _ = tell(Event::Evaluation(step, &distance));
            }
            if step.is_multiple_of(rhythm.save) || stop {
                self.save(learning.student(), step, seconds()).await?;
                let _ = tell(Event::Saved(&self.out.join(ADAPTER)));
            }
            if stop {
                break;
            }
        }
        Ok(step)
    }

    async fn save(&self, student: &Student, step: u64, seconds: f64) -> Result<()> {
        let tokens = self.settings.tokens(step).to_string();
        let notes = [("command", self.command.as_str()), ("tokens", tokens.as_str())];
        let adapter = student.adapter(&notes).await?;
        let state = student.state().await?;
        let tensors: Vec<TensorData<'_>> =
            state.iter().map(|(name, values)| TensorData::f32(name, &[values.len()], values)).collect();
        let settings = serde_json::to_string(&self.settings).unwrap_or_default();
        let (step, seconds) = (step.to_string(), seconds.to_string());
        let base = format!("{:016x}", student.base());
        let notes = [
            ("settings", settings.as_str()),
            ("step", step.as_str()),
            ("seconds", seconds.as_str()),
            ("base", base.as_str()),
        ];
        let state = safetensors_bytes(&tensors, &notes)?;
        // The state last: what it says was saved is there.
        atomic_write(&self.out.join(ADAPTER), |w| w.write_all(&adapter))?;
        atomic_write(&self.out.join(STATE), |w| w.write_all(&state))
    }
}

//! The parts of the report, and the file that keeps them from run to run.

use std::path::Path;

use polysketch::files::{Whole, read_text};
use polysketch::report::linearize::{Cost, Positions, Recall};
use polysketch::text::clip;
use polysketch::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name of its files.
pub const NAME: &str = "linearize";

/// Everything that decides what is measured: with others a report is another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Fingerprint of the teacher.
    pub teacher: String,
    /// Tells the adapter from others.
    pub adapter: String,
    /// What they run on: speeds are of it.
    pub device: String,
    /// Tokens of the texts that the teacher was made for, if it says so.
    pub context: Option<usize>,
    /// Names of the texts, and what tells them from others.
    pub data: Vec<(String, String)>,
    /// Texts of each.
    pub texts: usize,
    /// Tokens of a text.
    pub tokens: usize,
    /// Of recall.
    pub distances: Vec<usize>,
    /// Numbers asked for at each distance.
    pub trials: usize,
    /// Of texts whose state and speed are measured.
    pub lengths: Vec<usize>,
    /// Prompts that both answer.
    pub prompts: usize,
}

/// Texts of a kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kind {
    pub name: String,
    /// Texts that were read.
    pub texts: usize,
    /// Of teacher, near keys alone, student.
    pub positions: [Positions; 3],
}

/// Recall of one model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    /// Numbers asked for.
    pub trials: usize,
    /// At each distance that its context holds.
    pub recall: Vec<Recall>,
}

/// An answer of each model to one prompt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answers {
    /// What was asked.
    pub prompt: String,
    /// What teacher and student said.
    pub answers: [String; 2],
}

/// The report, as far as it was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinearizeReport {
    pub model: String,
    pub adapter: String,
    /// Layers of the student that keep their softmax.
    pub kept: Vec<usize>,
    pub settings: Settings,
    /// Relative L2 of the attention of each layer; none where all is exact.
    pub layers: Option<Vec<Option<f64>>>,
    pub kinds: Vec<Kind>,
    /// Of teacher, near keys alone, student.
    pub recall: [Told; 3],
    /// Of teacher and student.
    pub costs: [Option<Vec<Cost>>; 2],
    pub answers: Vec<Answers>,
    /// That it took, of all runs together.
    pub seconds: f64,
}

impl LinearizeReport {
    /// Nothing yet.
    pub fn begin([model, adapter]: [String; 2], kept: Vec<usize>, settings: Settings) -> Self {
        let kind = |(name, _): &(String, String)| Kind {
            name: name.clone(),
            texts: 0,
            positions: Default::default(),
        };
        let kinds = settings.data.iter().map(kind).collect();
        let holds = |distance: &usize, who: usize| who != 0 || settings.holds(*distance);
        let recall = [0, 1, 2].map(|who| {
            let distances = settings.distances.iter().copied().filter(|distance| holds(distance, who));
            Told { trials: 0, recall: distances.map(Recall::at).collect() }
        });
        let (answers, costs) = (Vec::new(), [None, None]);
        Self { model, adapter, kept, layers: None, kinds, recall, costs, answers, seconds: 0.0, settings }
    }

    /// What a file has of the same report; none where there is no file.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a file of something else, with what it is that is not the same.
    pub fn found(path: &Path, settings: &Settings) -> Result<Option<Self>> {
        const HELP: &str = "give the same options, or another --out";
        if !path.exists() {
            return Ok(None);
        }
        let fail = |what: String| {
            Err(Error::new(ErrorKind::Input, format!("{}: {what}", path.display())).help(HELP))
        };
        let report: Self = match serde_json::from_str(&read_text(path, Whole::Content)?) {
            Ok(report) => report,
            Err(e) => {
                return fail(format!("is no report that can be gone on with: {}", clip(&e.to_string())));
            }
        };
        match difference(&report.settings, settings) {
            Some(what) => fail(format!("holds the report of another command: {what}")),
            None if !report.is_whole() => fail("is damaged: its parts are not those of its settings".into()),
            None => Ok(Some(report)),
        }
    }
}

impl LinearizeReport {
    /// Whether its parts are those that its settings say.
    fn is_whole(&self) -> bool {
        let (settings, fresh) =
            (&self.settings, Self::begin(Default::default(), vec![], self.settings.clone()));
        let distances = |told: &Told| told.recall.iter().map(|recall| recall.distance).collect::<Vec<_>>();
        let told = |(a, b): (&Told, &Told)| distances(a) == distances(b) && a.trials <= settings.trials;
        let lengths =
            |costs: &Vec<Cost>| costs.iter().map(|cost| cost.tokens).eq(settings.lengths.iter().copied());
        self.kinds.len() == fresh.kinds.len()
            && self.kinds.iter().all(|kind| kind.texts <= settings.texts)
            && self.recall.iter().zip(&fresh.recall).all(told)
            && self.costs.iter().flatten().all(lengths)
    }
}

impl Settings {
    /// Whether the teacher's context holds a trial of recall.
    pub fn holds(&self, distance: usize) -> bool {
        let asking = polysketch::report::linearize::ASKING;
        self.context.is_none_or(|most| distance.saturating_add(asking) <= most)
    }
}

/// The first setting that is not the same.
fn difference(before: &Settings, now: &Settings) -> Option<String> {
    let [before, now] = [before, now].map(|of| serde_json::to_value(of).unwrap_or_default());
    let (Value::Object(before), Value::Object(now)) = (before, now) else { return None };
    let other = before.iter().find(|(key, value)| now.get(*key) != Some(value))?;
    let text = |value: Option<&Value>| clip(&value.unwrap_or(&Value::Null).to_string());
    Some(format!("{} {}, now {}", other.0, text(Some(other.1)), text(now.get(other.0))))
}

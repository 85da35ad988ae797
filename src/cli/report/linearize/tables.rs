//! The parts of the report as text, and its plot.

use std::path::Path;

use plotters::chart::SeriesLabelPosition;
use polysketch::Result;
use polysketch::report::linearize::{BUCKETS, Prediction, Recall};

use super::parts::{Answers, Kind, LinearizeReport, Told};
use crate::cli::failure::Outcome;
use crate::cli::options::Common;
use crate::cli::output::{self, NO_NUMBER, bytes, percent, print, table, thousands, wrap};
use crate::cli::panels::{self, COLORS, Curve, Panel, Stroke, plain_power, power_of_two};
use crate::cli::report::cells::{WIDTH, named, or_none, strings};

/// Prints a part, unless numbers are for a program.
pub fn show(common: &Common, part: impl FnOnce(Option<usize>) -> Vec<String>) -> Outcome {
    match common.json {
        true => Ok(()),
        false => print(&(part(output::columns()).join("\n") + "\n\n")),
    }
}

/// Who is measured.
pub const WHO: [&str; 3] = ["teacher", "near keys alone", "student"];

/// The student's perplexity against its teacher's, where both predict.
fn compared(kind: &Kind) -> String {
    let [teacher, _, student] = &kind.positions;
    let beside = student.beside(teacher);
    let (Some(own), Some(of_teacher), Some(kl)) =
        (beside.perplexity(), teacher.beside(student).perplexity(), beside.kl())
    else {
        return format!("{}: nothing that both predict", kind.name);
    };
    let more = 100.0 * (own / of_teacher - 1.0);
    format!("{} {more:+.1} % perplexity (KL {kl:.3})", kind.name)
}

impl LinearizeReport {
    /// What is compared.
    pub fn title(&self) -> Vec<String> {
        let mut text =
            format!("{} with {} beside its teacher, on {}.", self.model, self.adapter, self.settings.device);
        if let Some(context) = self.settings.context {
            text += &format!(" The teacher was made for texts of {} tokens.", thousands(context));
        }
        if !self.kept.is_empty() {
            let layers: Vec<String> = self.kept.iter().map(usize::to_string).collect();
            text += &format!(
                " Layers {} of the student keep their softmax: its memory grows with the text, too.",
                layers.join(", ")
            );
        }
        wrap(&text, 0, Some(WIDTH))
    }

    /// What is worse than the teacher, in one sentence.
    pub fn verdict(&self) -> Vec<String> {
        let kinds: Vec<String> = self.kinds.iter().map(compared).collect();
        let [teacher, _, student] = &self.recall;
        let one = |s: &Recall| {
            let of_teacher = teacher.recall.iter().find(|t| t.distance == s.distance);
            let of = or_none(of_teacher, |t| percent(t.first()));
            format!("{} of {of} at {}", percent(s.first()), thousands(s.distance))
        };
        let pairs: Vec<String> = student.recall.iter().map(one).collect();
        let recall = match pairs.is_empty() {
            true => String::new(),
            false => format!("; of told digits it ranks first {}", pairs.join(", ")),
        };
        let text = format!("In all, the student beside its teacher: {}{recall}.", kinds.join(", "));
        wrap(&text, 0, Some(WIDTH))
    }

    /// Relative L2 by layer.
    pub fn of_layers(&self, layers: &[Option<f64>], tokens: usize, columns: Option<usize>) -> Vec<String> {
        let measured: Vec<f64> = layers.iter().flatten().copied().collect();
        let mean = measured.iter().sum::<f64>() / measured.len().max(1) as f64;
        let about = format!(
            "Layers: the student's attention is off by {} in the mean; relative L2 behind the projection o, each layer \
             on its teacher's input, at the positions of {} tokens that have far keys.",
            if measured.is_empty() { NO_NUMBER.into() } else { format!("{mean:.3}") },
            thousands(tokens)
        );
        let mut lines = wrap(&about, 0, Some(WIDTH));
        let cells: Vec<String> = layers
            .iter()
            .enumerate()
            .map(|(i, e)| format!("{i}: {}", e.map_or("exact".into(), |e| format!("{e:.3}"))))
            .collect();
        let rows: Vec<Vec<String>> = cells.chunks(6).map(<[String]>::to_vec).collect();
        lines.extend(table(&named::<6>(), 0, &rows, columns));
        lines
    }

    /// Perplexity and KL by position.
    pub fn of_kind(&self, kind: &Kind, columns: Option<usize>) -> Vec<String> {
        let about = format!(
            "{}. By position: perplexity, KL to the teacher in nats a token, share of tokens whose likeliest is the \
             teacher's; texts: {}, of {} tokens.",
            compared(kind),
            kind.texts,
            thousands(self.settings.tokens)
        );
        let mut lines = wrap(&about, 0, Some(WIDTH));
        let mut rows = vec![strings(["positions", "teacher", "near alone", "KL", "student", "KL", "same"])];
        let [teacher, _, student] = &kind.positions;
        let buckets = student.0.len();
        for bucket in 0..=buckets {
            let of = |who: usize| match &kind.positions[who] {
                positions if bucket < buckets => positions.bucket(bucket),
                positions => positions.beside(if who == 0 { student } else { teacher }),
            };
            let name = match bucket < buckets {
                true => {
                    let range = BUCKETS.range(bucket);
                    let last = (range.end - 1).min(self.settings.tokens);
                    format!("{} to {}", thousands(range.start), thousands(last))
                }
                false if teacher.all().tokens == student.all().tokens => "all".into(),
                false => "with a teacher".into(),
            };
            let perplexity = |p: &Prediction| or_none(p.perplexity(), |x| format!("{x:.2}"));
            let kl = |p: &Prediction| or_none(p.kl(), |x| format!("{x:.3}"));
            let [teacher, near, student] = [of(0), of(1), of(2)];
            rows.push(vec![
                name,
                perplexity(&teacher),
                perplexity(&near),
                kl(&near),
                perplexity(&student),
                kl(&student),
                or_none(student.same_token(), percent),
            ]);
        }
        lines.extend(table(&named::<7>(), 0, &rows, columns));
        lines
    }

    /// Recall by distance.
    pub fn of_recall(&self, columns: Option<usize>) -> Vec<String> {
        let mut about = format!(
            "Recall: a number of four digits told at the start and asked for after other text, {} numbers; share of its \
             digits ranked first, and their mean log-probability.",
            self.recall[2].trials
        );
        if let Some(context) =
            self.settings.context.filter(|_| self.recall[0].recall.len() < self.recall[2].recall.len())
        {
            about += &format!(
                " The teacher's context of {} tokens does not hold the longer ones: they are the student's alone.",
                thousands(context)
            );
        }
        let mut lines = wrap(&about, 0, Some(WIDTH));
        let mut rows = vec![[vec!["tokens between".into()], WHO.map(String::from).to_vec()].concat()];
        for distance in &self.settings.distances {
            let cell = |of: &Told| {
                let found = of.recall.iter().find(|recall| recall.distance == *distance);
                or_none(found, |r| format!("{} ({:.2})", percent(r.first()), r.log_probability()))
            };
            rows.push([vec![thousands(*distance)], self.recall.iter().map(cell).collect()].concat());
        }
        lines.extend(table(&named::<4>(), 0, &rows, columns));
        lines
    }

    /// State and speed by length.
    pub fn of_costs(&self, columns: Option<usize>) -> Vec<String> {
        let about = "What a text costs: bytes kept of it, reading from its start in tokens/s, writing a token at its end \
                     in ms.";
        let mut lines = wrap(about, 0, Some(WIDTH));
        let mut rows = vec![strings(["tokens", "cache", "reads", "writes", "state", "reads", "writes"])];
        if let [Some(teacher), Some(student)] = &self.costs {
            for (t, s) in teacher.iter().zip(student) {
                let mut row = vec![thousands(t.tokens)];
                for cost in [t, s] {
                    let writing = format!("{:.1}", 1e3 * cost.writing);
                    row.extend([bytes(cost.bytes as u64), format!("{:.0}", cost.reading), writing]);
                }
                rows.push(row);
            }
        }
        lines.extend(table(&named::<7>(), 0, &rows, columns));
        lines
    }

    /// The plot of what the kinds show by position.
    pub fn draw(&self, path: &Path) -> Result<()> {
        let tokens = self.settings.tokens;
        let panel = |kind: &Kind, title: String, y, of: fn(&Prediction) -> Option<f64>, who: &[usize]| {
            let point = |(bucket, part): (usize, &Prediction)| {
                let range = BUCKETS.range(bucket);
                let middle = 0.5 * ((range.start * (range.end - 1).min(tokens)) as f64).log2();
                // Where all is exact, there is no KL to draw.
                of(part).filter(|value| *value > 1e-6).map(|value| (middle, value))
            };
            let curve = |&who: &usize| Curve {
                label: Some(WHO[who].into()),
                color: COLORS[who],
                strength: 1.0,
                stroke: Stroke::Solid,
                points: kind.positions[who].0.iter().enumerate().filter_map(point).collect(),
            };
            Panel {
                title,
                x: "position",
                y,
                x_name: power_of_two,
                y_name: plain_power,
                curves: who.iter().map(curve).collect(),
                legend: Some(SeriesLabelPosition::UpperRight),
                labels: Vec::new(),
            }
        };
        let perplexity =
            |kind| panel(kind, kind.name.clone(), "perplexity", Prediction::perplexity, &[0, 1, 2]);
        let title = |kind: &Kind| format!("{}: KL to the teacher", kind.name);
        let kl = |kind| panel(kind, title(kind), "nats a token", Prediction::kl, &[1, 2]);
        let rows =
            vec![self.kinds.iter().map(perplexity).collect(), self.kinds.iter().map(kl).collect::<Vec<_>>()];
        let about = format!("{} texts of {} tokens of each kind", self.settings.texts, thousands(tokens));
        panels::draw(path, &format!("{} made linear", self.model), &about, &rows)
    }
}

/// The answers to a prompt, one under the other.
pub fn of_answers(Answers { prompt, answers }: &Answers, columns: Option<usize>) -> Vec<String> {
    let mut lines = wrap(&format!("> {prompt}"), 2, columns);
    for (who, answer) in [WHO[0], WHO[2]].iter().zip(answers) {
        lines.extend(wrap(&format!("{who}: {}", answer.trim().replace('\n', " ")), 2, columns));
    }
    lines
}

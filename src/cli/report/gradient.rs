//! `report gradient`: errors by degree and layer, cost against length.

use std::path::Path;
use std::time::Instant;

use clap::Args;
use plotters::chart::SeriesLabelPosition;
use pollster::block_on;
use polysketch::attention::MOST_TAYLOR;
use polysketch::report::cost::{self, Cost, Growth, Timed};
use polysketch::report::gradient::{self, Accuracy, BOUNDS, QUANTITIES};
use polysketch::{Error, ErrorKind, Result};
use serde::Serialize;

use super::cells::{WIDTH, figures, named, or_none, strings};
use super::folder::Folder;
use crate::cli::failure::Outcome;
use crate::cli::options::{Common, count};
use crate::cli::output::Align;
use crate::cli::output::{bytes, digits3, seconds, table, thousands, wrap};
use crate::cli::panels::{self, COLORS, Curve, Panel, Stroke, plain_power, power_of_ten, power_of_two};
use crate::cli::progress::Progress;

/// What `report gradient` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    folder: Folder,
    /// Longest text whose gradient is timed [default: 64k; with --quick 4k]
    #[arg(long, value_name = "N", value_parser = count)]
    max_n: Option<usize>,
}

/// What is timed.
pub const KINDS: [Timed; 2] = [Timed::Taylor, Timed::Softmax];

#[derive(Debug, Serialize)]
struct GradientReport {
    #[serde(flatten)]
    accuracy: Accuracy,
    /// Degree of the timed kind.
    timed_degree: usize,
    cost: Vec<Cost>,
    growth: Vec<Growth>,
    threads: usize,
    seconds: f64,
}

/// Longest text of softmax: its time grows with the square.
const SOFTMAX_MOST: usize = 16 << 10;

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let (folder, began) = (&options.folder, Instant::now());
    folder.prepare(common, "gradient")?;
    let (tokens, max_n, softmax_most) =
        if folder.quick { (192, 4 << 10, 2 << 10) } else { (512, 64 << 10, SOFTMAX_MOST) };
    let max_n = options.max_n.unwrap_or(max_n);
    let spinner = Progress::spinner(common, "gradients against exact softmax");
    let accuracy = block_on(gradient::accuracy(tokens, &BOUNDS))?;
    drop(spinner);
    let mut costs = Vec::new();
    for kind in KINDS {
        let most = if kind == Timed::Softmax { max_n.min(softmax_most) } else { max_n };
        for n in cost::lengths(most.min(1 << 10), most) {
            let _spinner =
                Progress::spinner(common, &format!("{}, {} tokens", kind.as_str(), thousands(n as u64)));
            costs.push(in_own_process(kind, n)?);
        }
    }
    let report = GradientReport {
        accuracy,
        timed_degree: cost::DEGREE,
        growth: KINDS.iter().map(|kind| cost::growth(*kind, &costs)).collect(),
        cost: costs,
        threads: polysketch::kernels::cpu::threads(),
        seconds: began.elapsed().as_secs_f64(),
    };
    folder.finish(common, "gradient", &report, |columns| report.text(columns), |path| report.draw(path))
}

/// A cost, measured where nothing was allocated before.
fn in_own_process(kind: Timed, tokens: usize) -> Result<Cost> {
    let failed = |text: &str| {
        Error::new(ErrorKind::Io, format!("measuring {} at {tokens} tokens: {text}", kind.as_str()))
    };
    let program = std::env::current_exe().map_err(|e| failed(&e.to_string()))?;
    let output = std::process::Command::new(program)
        .args(["report", "cost", kind.as_str(), &tokens.to_string()])
        .output();
    let output = output.map_err(|e| failed(&e.to_string()))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(failed(
            text.lines().next().map_or("no result", |line| line.trim_start_matches("error: ")),
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| failed(&e.to_string()))
}

impl GradientReport {
    fn text(&self, columns: Option<usize>) -> Vec<String> {
        let a = &self.accuracy;
        let about = format!(
            "Gradients with exp truncated after degree g, against exact softmax attention, in f64: {} \
             layers, {} heads of {}, causal, residual, \
             MLP; {} tokens. S: largest |c⟨q,k⟩| of every layer. Relative Frobenius errors. Odd degrees \
             have negative weights where c⟨q,k⟩ is \
             low; degrees above {} are computed pair by pair.",
            a.layers, a.heads, a.head_size, a.tokens, MOST_TAYLOR
        );
        let mut lines = [wrap(&about, 0, Some(WIDTH)), vec![String::new()]].concat();
        let mut rows = vec![[strings(["S", "g", "features", "layer"]), strings(QUANTITIES)].concat()];
        for e in &a.errors {
            let head = [
                e.bound.to_string(),
                e.degree.to_string(),
                thousands(e.features as u64),
                e.layer.to_string(),
            ];
            let [first, second, third, fourth] = head;
            // A name once.
            let (first, second, third) =
                if e.layer == 0 { (first, second, third) } else { Default::default() };
            rows.push([vec![first, second, third, fourth], e.all().map(figures).to_vec()].concat());
        }
        lines.extend(table(&[Align::Right; 8], 0, &rows, columns));
        lines.extend([
            String::new(),
            format!(
                "Degree for errors of {} %: by the series on |x| <= S, and in these gradients",
                gradient::TOLERANCE * 100.0
            ),
            String::new(),
        ]);
        let mut rows = vec![strings(["S", "theory", "measured"])];
        rows.extend(a.degrees.iter().map(|d| {
            vec![
                d.bound.to_string(),
                d.theory.to_string(),
                d.measured.map_or("> 16".into(), |g| g.to_string()),
            ]
        }));
        lines.extend(table(&[Align::Right; 3], 0, &rows, columns));
        let about = format!(
            "Forward and backward of one text of n tokens, f32, {} threads; taylor of degree {} in segments",
            self.threads, self.timed_degree
        );
        lines.extend([String::new(), about, String::new()]);
        let mut rows = vec![strings(["kind", "n", "time", "µs/token", "planned", "resident", "difference"])];
        rows.extend(self.cost.iter().map(|c| {
            vec![
                c.kind.as_str().into(),
                thousands(c.tokens as u64),
                seconds(c.seconds),
                digits3(c.seconds * 1e6 / c.tokens as f64),
                bytes(c.planned_bytes),
                or_none(c.resident_bytes, bytes),
                figures(c.difference),
            ]
        }));
        lines.extend(table(&named::<7>(), 0, &rows, columns));
        lines.push(String::new());
        for g in &self.growth {
            let exponent = |a: Option<f64>| or_none(a, |a| format!("n^{a:.2}"));
            lines.push(format!(
                "{}: time {}, planned memory {}, resident memory {}",
                g.kind.as_str(),
                exponent(g.time),
                exponent(g.planned),
                exponent(g.resident)
            ));
        }
        lines
    }

    /// The errors of one quantity: a colour a bound, a line a layer.
    fn error_panel(&self, quantity: usize) -> Panel {
        let a = &self.accuracy;
        let curve = |(number, bound, layer): (usize, f64, usize)| Curve {
            label: (layer == 0).then(|| format!("S = {bound}")),
            color: COLORS[number % COLORS.len()],
            strength: 1.0 - 0.65 * layer as f64 / (a.layers - 1).max(1) as f64,
            stroke: Stroke::Solid,
            points: a
                .errors
                .iter()
                .filter(|e| e.bound == bound && e.layer == layer)
                .map(|e| (e.degree as f64, e.all()[quantity]))
                .collect(),
        };
        let all = a
            .degrees
            .iter()
            .enumerate()
            .flat_map(|(number, d)| (0..a.layers).map(move |layer| (number, d.bound, layer)));
        Panel {
            title: format!("error of {}", QUANTITIES[quantity]),
            x: "degree g",
            y: "relative error",
            x_name: |g| g.to_string(),
            y_name: power_of_ten,
            curves: all.map(curve).collect(),
            legend: (quantity == 0).then_some(SeriesLabelPosition::UpperRight),
            labels: Vec::new(),
        }
    }

    /// A curve a kind, with its exponent in the legend.
    fn cost_curves(
        &self,
        what: &str,
        stroke: Stroke,
        exponent: fn(&Growth) -> Option<f64>,
        value: fn(&Cost) -> Option<f64>,
    ) -> Vec<Curve> {
        let curve = |(growth, color): (&Growth, &plotters::style::RGBColor)| {
            let degree = if growth.kind == Timed::Taylor {
                format!(", g = {}", self.timed_degree)
            } else {
                String::new()
            };
            let fitted = or_none(exponent(growth), |a| format!("n^{a:.2}"));
            Curve {
                label: Some(format!("{}{degree}{what}: {fitted}", growth.kind.as_str())),
                color: *color,
                strength: 1.0,
                stroke,
                points: self
                    .cost
                    .iter()
                    .filter(|c| c.kind == growth.kind)
                    .filter_map(|c| Some(((c.tokens as f64).log2(), value(c)?)))
                    .collect(),
            }
        };
        self.growth.iter().zip(&COLORS).map(curve).collect()
    }

    fn draw(&self, path: &Path) -> Result<()> {
        fn mib(bytes: u64) -> f64 {
            bytes as f64 / (1u64 << 20) as f64
        }
        let planned =
            self.cost_curves(", planned", Stroke::Solid, |g| g.planned, |c| Some(mib(c.planned_bytes)));
        let resident =
            self.cost_curves(", resident", Stroke::Dashed, |g| g.resident, |c| c.resident_bytes.map(mib));
        let time = Panel {
            title: "time of forward and backward".into(),
            x: "tokens n",
            y: "seconds",
            x_name: power_of_two,
            y_name: power_of_ten,
            curves: self.cost_curves("", Stroke::Solid, |g| g.time, |c| Some(c.seconds)),
            legend: Some(SeriesLabelPosition::UpperLeft),
            labels: Vec::new(),
        };
        let memory = Panel {
            title: "memory".into(),
            y: "MiB",
            y_name: plain_power,
            curves: [planned, resident].concat(),
            ..time.clone()
        };
        let a = &self.accuracy;
        let about = format!(
            "{} layers with residual, causal mask, {} heads of {}, MLP. Errors against exact softmax in \
             f64, {} tokens, S: largest |c⟨q,k⟩|; a line \
             a layer, deeper ones paler. Time and memory: f32 on {} threads.",
            a.layers, a.heads, a.head_size, a.tokens, self.threads
        );
        let errors = (0..QUANTITIES.len()).map(|quantity| self.error_panel(quantity)).collect();
        panels::draw(
            path,
            "The almost-linear-time gradient of softmax attention",
            &about,
            &[errors, vec![time, memory]],
        )
    }
}

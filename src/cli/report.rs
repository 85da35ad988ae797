//! `report`: what the theory promises, measured: tables, JSON, plots.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use plotters::chart::SeriesLabelPosition;
use pollster::block_on;
use polysketch::attention::MOST_TAYLOR;
use polysketch::bench::fit::Spread;
use polysketch::model::config::SketchKind;
use polysketch::model::files::atomic_write;
use polysketch::report::cost::{self, Cost, Growth, Timed};
use polysketch::report::gradient::{self, Accuracy, BOUNDS, QUANTITIES};
use polysketch::report::sketch::{self, LearnedError, RandomError};
use polysketch::{Error, ErrorKind, Result};
use serde::Serialize;

use super::failure::{Outcome, tell};
use super::options::{Common, count};
use super::output::{
    self, Align, bytes, check_place, digits3, print, print_json, seconds, table, thousands, wrap,
};
use super::panels::{self, COLORS, Curve, GREY, Panel, Stroke, power_of_ten};
use super::progress::Progress;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The almost-linear-time gradient of softmax attention: error by degree and layer against exact softmax
    /// in f64; time and memory against the length of the text
    Gradient(Gradient),
    /// Random and learned sketches against their kernels, beside the theorem's bound
    Sketch(Sketch),
    /// One cost of `report gradient`, which measures each in a process of its own
    #[command(hide = true)]
    Cost {
        #[arg(value_parser = timed())]
        kind: Timed,
        #[arg(value_parser = count)]
        tokens: usize,
    },
}

/// What is timed.
const KINDS: [Timed; 2] = [Timed::Taylor, Timed::Softmax];

fn timed() -> impl TypedValueParser<Value = Timed> {
    PossibleValuesParser::new(KINDS.map(Timed::as_str))
        .map(|word| if word == Timed::Softmax.as_str() { Timed::Softmax } else { Timed::Taylor })
}

/// What `report gradient` takes.
#[derive(Debug, Args)]
pub struct Gradient {
    #[command(flatten)]
    place: Place,
    /// Longest text whose gradient is timed [default: 64k; with --quick 4k]
    #[arg(long, value_name = "N", value_parser = count)]
    max_n: Option<usize>,
}

/// What `report sketch` takes.
#[derive(Debug, Args)]
pub struct Sketch {
    #[command(flatten)]
    place: Place,
    /// Model folder whose learned sketch is measured [default: the built-in model]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Place {
    /// Folder to write the report to, as JSON and as a plot (SVG)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Smaller: in seconds
    #[arg(long)]
    quick: bool,
}

impl Place {
    /// Makes the folder, before work is put into what goes there.
    fn prepare(&self, name: &str) -> Result<()> {
        let Some(dir) = &self.out else { return Ok(()) };
        std::fs::create_dir_all(dir).map_err(|e| Error::io(dir.display(), &e))?;
        ["json", "svg"].iter().try_for_each(|end| check_place(&dir.join(format!("{name}.{end}"))))
    }

    /// Writes the folder's files, then prints.
    fn finish(
        &self,
        common: &Common,
        name: &str,
        report: &impl Serialize,
        text: impl FnOnce(Option<usize>) -> Vec<String>,
        draw: impl FnOnce(&Path) -> Result<()>,
    ) -> Outcome {
        if let Some(dir) = &self.out {
            let (json, svg) = (dir.join(format!("{name}.json")), dir.join(format!("{name}.svg")));
            let text = serde_json::to_string_pretty(report)
                .map_err(|e| Error::io(json.display(), &e.into()))?
                + "\n";
            atomic_write(&json, |w| w.write_all(text.as_bytes()))?;
            draw(&svg)?;
            if common.talks() {
                tell(format_args!("written: {}, {}", json.display(), svg.display()));
            }
        }
        if common.json {
            return print_json(report);
        }
        print(&(text(output::columns()).join("\n") + "\n"))
    }
}

/// Runs the command.
pub fn run(common: &Common, command: &Command) -> Outcome {
    match command {
        Command::Gradient(options) => run_gradient(common, options),
        Command::Sketch(options) => run_sketch(common, options),
        Command::Cost { kind, tokens } => print_json(&block_on(cost::cost(*kind, *tokens))?),
    }
}

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

/// Columns of explanations.
const WIDTH: usize = 100;
/// Longest text of softmax: its time grows with the square.
const SOFTMAX_MOST: usize = 16 << 10;

fn run_gradient(common: &Common, options: &Gradient) -> Outcome {
    let (place, began) = (&options.place, Instant::now());
    place.prepare("gradient")?;
    let (tokens, max_n, softmax_most) =
        if place.quick { (192, 4 << 10, 2 << 10) } else { (512, 64 << 10, SOFTMAX_MOST) };
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
    place.finish(common, "gradient", &report, |columns| report.text(columns), |path| report.draw(path))
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

/// A name and numbers.
const fn named<const N: usize>() -> [Align; N] {
    let mut align = [Align::Right; N];
    align[0] = Align::Left;
    align
}

fn strings<const N: usize>(row: [&str; N]) -> Vec<String> {
    row.map(String::from).to_vec()
}

/// Two digits: `3.1e-4`, `0.017`, `0.84`, `75`, `1.1e4`.
fn figures(x: f64) -> String {
    if (0.00995..1e4).contains(&x) {
        let decimals = (1 - x.log10().floor() as i32).max(0) as usize;
        format!("{x:.decimals$}")
    } else {
        format!("{x:.1e}")
    }
}

fn or_none<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or("–".into(), text)
}

impl GradientReport {
    fn text(&self, columns: Option<usize>) -> Vec<String> {
        let a = &self.accuracy;
        let about = format!(
            "Gradients with exp truncated after degree g, against exact softmax attention, in f64: {} layers, {} heads of {}, causal, residual, \
             MLP; {} tokens. S: largest |c⟨q,k⟩| of every layer. Relative Frobenius errors. Odd degrees have negative weights where c⟨q,k⟩ is \
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
            "{} layers with residual, causal mask, {} heads of {}, MLP. Errors against exact softmax in f64, {} tokens, S: largest |c⟨q,k⟩|; a line \
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

/// `64k` for 2 to the 16th.
pub fn power_of_two(exponent: i32) -> String {
    match exponent {
        0..10 => (1u64 << exponent).to_string(),
        10..20 => format!("{}k", 1u64 << (exponent - 10)),
        20..30 => format!("{}M", 1u64 << (exponent - 20)),
        _ => format!("2^{exponent}"),
    }
}

/// `0.01`, `100`
pub fn plain_power(exponent: i32) -> String {
    10f64.powi(exponent).to_string()
}

#[derive(Debug, Serialize)]
struct SketchReport {
    /// Size of the random vectors.
    head_size: usize,
    /// Queries, and as many keys.
    vectors: usize,
    /// Draws of matrices and vectors.
    draws: u64,
    /// δ of the theorem.
    delta: f64,
    random: Vec<RandomError>,
    model: String,
    learned: Vec<LearnedError>,
    seconds: f64,
}

fn run_sketch(common: &Common, options: &Sketch) -> Outcome {
    let (place, began) = (&options.place, Instant::now());
    place.prepare("sketch")?;
    let source = super::model::source(options.model.as_deref())?;
    let (vectors, draws, tokens) = if place.quick { (128, 2, 128) } else { (256, 8, 512) };
    let mut random = Vec::new();
    let spinner = Progress::spinner(common, "random sketches");
    for degree in sketch::DEGREES {
        for kind in [SketchKind::Gaussian, SketchKind::Hadamard] {
            for size in sketch::SIZES {
                random.push(block_on(sketch::random(kind, degree, size, vectors, draws))?);
            }
        }
    }
    drop(spinner);
    let spinner = Progress::spinner(common, "the learned sketch");
    let learned = block_on(sketch::learned(&source, tokens))?;
    drop(spinner);
    let report = SketchReport {
        head_size: sketch::HEAD,
        vectors,
        draws,
        delta: sketch::DELTA,
        random,
        model: options
            .model
            .as_deref()
            .map_or("novels-2m (built in)".into(), |dir| dir.display().to_string()),
        learned,
        seconds: began.elapsed().as_secs_f64(),
    };
    place.finish(common, "sketch", &report, |columns| report.text(columns), |path| report.draw(path))
}

impl SketchReport {
    fn text(&self, columns: Option<usize>) -> Vec<String> {
        let about = format!(
            "Random sketches of {} LayerNormed Gaussian queries and keys, h = {}, {} draws (mean ± deviation). Relative Frobenius errors of \
             ⟨s(q),s(k)⟩² to |q|^p|k|^p and to ⟨q,k⟩^p over all pairs, and where k = q. ε: what r = p ε⁻² ln 1/δ gives for δ = {}; the theorem \
             leaves a constant open.",
            self.vectors, self.head_size, self.draws, self.delta
        );
        let mut lines = [wrap(&about, 0, Some(WIDTH)), vec![String::new()]].concat();
        let spread = |s: Spread| format!("{} ± {}", figures(s.mean), figures(s.deviation));
        let mut rows =
            vec![strings(["sketch", "p", "r", "to |q|^p|k|^p", "the same, k = q", "ε", "to ⟨q,k⟩^p"])];
        rows.extend(self.random.iter().map(|e| {
            let (p, r) = (e.degree.to_string(), e.size.to_string());
            vec![
                e.kind.to_string(),
                p,
                r,
                spread(e.norms),
                spread(e.aligned),
                figures(e.theorem),
                spread(e.kernel),
            ]
        }));
        lines.extend(table(&named::<7>(), 0, &rows, columns));
        let about = format!(
            "The learned sketch of {} against its local kernel (c⟨q̄,k̄⟩)^p, all heads and causal pairs of a text. It was trained to predict text, \
             not to come close to the kernel. Share: of all sketched weight, what lies on the tenth of pairs with the largest true weight \
             (0.1: no relation).",
            self.model
        );
        lines.push(String::new());
        lines.extend(wrap(&about, 0, Some(WIDTH)));
        lines.push(String::new());
        let mut rows = vec![strings([
            "layer",
            "p",
            "r",
            "to |q|^p|k|^p",
            "to the kernel",
            "best factor",
            "after it",
            "share (true)",
        ])];
        rows.extend(self.learned.iter().map(|e| {
            let share = format!("{:.2} ({:.2})", e.share, e.true_share);
            let numbers = [e.norms, e.kernel, e.factor, e.rescaled].map(figures);
            [
                vec![e.layer.to_string(), e.degree.to_string(), e.size.to_string()],
                numbers.to_vec(),
                vec![share],
            ]
            .concat()
        }));
        lines.extend(table(&named::<8>(), 0, &rows, columns));
        lines
    }

    fn draw(&self, path: &Path) -> Result<()> {
        let curves = |value: fn(&RandomError) -> f64| {
            let mut curves: Vec<Curve> = Vec::new();
            for e in &self.random {
                let label = format!("{}, p = {}", e.kind, e.degree);
                if curves.last().and_then(|c| c.label.as_ref()) != Some(&label) {
                    curves.push(Curve {
                        label: Some(label),
                        color: COLORS[curves.len() % COLORS.len()],
                        strength: 1.0,
                        stroke: Stroke::Solid,
                        points: vec![],
                    });
                }
                if let Some(curve) = curves.last_mut() {
                    curve.points.push(((e.size as f64).log2(), value(e)));
                }
            }
            curves
        };
        let panel = |title: &str, curves: Vec<Curve>, legend| Panel {
            title: title.into(),
            x: "sketch size r",
            y: "relative error",
            x_name: power_of_two,
            y_name: power_of_ten,
            curves,
            legend,
            labels: Vec::new(),
        };
        let theorem = sketch::DEGREES.map(|degree| Curve {
            label: Some(format!("ε, p = {degree}")),
            color: GREY,
            strength: if degree == 4 { 0.6 } else { 1.0 },
            stroke: Stroke::Dashed,
            points: sketch::SIZES.map(|size| ((size as f64).log2(), sketch::theorem(degree, size))).to_vec(),
        });
        let norms = [curves(|e| e.norms.mean), theorem.to_vec()].concat();
        let aligned = [curves(|e| e.aligned.mean), theorem.to_vec()].concat();
        let mut kernel = curves(|e| e.kernel.mean);
        kernel.push(Curve {
            label: Some("learned, a point a layer".into()),
            color: GREY,
            strength: 1.0,
            stroke: Stroke::Points,
            points: self.learned.iter().map(|e| ((e.size as f64).log2(), e.rescaled)).collect(),
        });
        let rows = vec![
            panel("to |q|ᵖ|k|ᵖ, independent q and k", norms, None),
            panel("to |q|ᵖ|k|ᵖ, k = q", aligned, Some(SeriesLabelPosition::UpperRight)),
            panel("to the true kernel, independent q and k", kernel, Some(SeriesLabelPosition::UpperRight)),
        ];
        let about = format!(
            "{} LayerNormed Gaussian queries and keys of h = {}, {} draws. ε of the theorem with δ = {}, constant 1. Learned: {}, its own q̄, k̄ on a text, after the best factor.",
            self.vectors, self.head_size, self.draws, self.delta, self.model
        );
        panels::draw(path, "Sketches against the kernels they stand for", &about, &[rows])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_tables() {
        assert_eq!(
            [3.14e-4, 0.0172, 0.84, 6.57, 75.4, 11_000.0].map(figures),
            ["3.1e-4", "0.017", "0.84", "6.6", "75", "1.1e4"]
        );
        assert_eq!([4, 10, 16, 20].map(power_of_two), ["16", "1k", "64k", "1M"]);
    }
}

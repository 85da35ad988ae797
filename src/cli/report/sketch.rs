//! `report sketch`: random and learned sketches against their kernels.

use std::path::Path;
use std::time::Instant;

use clap::Args;
use plotters::chart::SeriesLabelPosition;
use pollster::block_on;
use polysketch::Result;
use polysketch::bench::fit::Spread;
use polysketch::model::config::SketchKind;
use polysketch::report::sketch::{self, LearnedError, RandomError};
use serde::Serialize;

use super::cells::{WIDTH, figures, named, strings};
use super::folder::Folder;
use crate::cli::failure::Outcome;
use crate::cli::model;
use crate::cli::options::{Common, ModelName, model_name};
use crate::cli::output::{table, wrap};
use crate::cli::panels::{self, COLORS, Curve, GREY, Panel, Stroke, power_of_ten, power_of_two};
use crate::cli::progress::Progress;

/// What `report sketch` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    folder: Folder,
    /// Model whose learned sketch is measured, as of `generate` [default: the built-in model]
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelName>,
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

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let (folder, began) = (&options.folder, Instant::now());
    folder.prepare(common, "sketch")?;
    let source = model::source(common, options.model.as_ref())?;
    let (vectors, draws, tokens) = if folder.quick { (128, 2, 128) } else { (256, 8, 512) };
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
        model: model_name(options.model.as_ref()),
        learned,
        seconds: began.elapsed().as_secs_f64(),
    };
    folder.finish(common, "sketch", &report, |columns| report.text(columns), |path| report.draw(path))
}

impl SketchReport {
    fn text(&self, columns: Option<usize>) -> Vec<String> {
        let about = format!(
            "Random sketches of {} LayerNormed Gaussian queries and keys, h = {}, {} draws (mean ± \
             deviation). Relative Frobenius errors of \
             ⟨s(q),s(k)⟩² to |q|^p|k|^p and to ⟨q,k⟩^p over all pairs, and where k = q. ε: what r = p ε⁻² \
             ln 1/δ gives for δ = {}; the theorem \
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
            "The learned sketch of {} against its local kernel (c⟨q̄,k̄⟩)^p, all heads and causal pairs of \
             a text. It was trained to predict text, \
             not to come close to the kernel. Share: of all sketched weight, what lies on the tenth of \
             pairs with the largest true weight \
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
            "{} LayerNormed Gaussian queries and keys of h = {}, {} draws. ε of the theorem with δ = {}, \
             constant 1. Learned: {}, its own q̄, k̄ on a text, after the best factor.",
            self.vectors, self.head_size, self.draws, self.delta, self.model
        );
        panels::draw(path, "Sketches against the kernels they stand for", &about, &[rows])
    }
}

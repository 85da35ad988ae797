//! The loss curve of a run, as a drawing.

use std::fmt::Display;
use std::path::Path;

use plotters::prelude::*;
use polysketch::Result;
use polysketch::text::printable;
use polysketch::train::log::Curves;

use crate::cli::output::thousands;
use crate::cli::plot::{GRID, INK, font, save};

const SIZE: (u32, u32) = (900, 540);
/// Points of a curve: more would not be seen.
const POINTS: usize = 800;
const TRAINING: RGBColor = RGBColor(0x2b, 0x6c, 0xb0);
const EVALUATION: RGBColor = RGBColor(0xdd, 0x6b, 0x20);

/// Draws the losses of a run over its steps to an SVG file.
///
/// # Errors
/// [`polysketch::ErrorKind::Io`] if it cannot be written.
pub fn draw(path: &Path, curves: &Curves, title: &str) -> Result<()> {
    let mut svg = String::new();
    let drawn = loss(&mut svg, curves, title);
    save(path, &svg, drawn)
}

fn loss(svg: &mut String, curves: &Curves, title: &str) -> std::result::Result<(), impl Display + use<>> {
    let raw = thinned(&curves.training);
    let smooth = smoothed(&raw);
    let (x, y) = ranges(&raw, &smooth, &curves.evaluation);
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(printable(title), font(20))
        .margin(16)
        .x_label_area_size(46)
        .y_label_area_size(62)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK.mix(0.4))
        .label_style(font(14))
        .axis_desc_style(font(15))
        .x_desc("step")
        .y_desc("loss, nats a token")
        .x_labels(8)
        .y_labels(8)
        .x_label_formatter(&|step| thousands(step.round().max(0.0) as u64))
        .y_label_formatter(&|loss| format!("{loss:.2}"))
        .draw()?;
    let line = |color: RGBColor, width: u32| {
        move |(x, y): (i32, i32)| PathElement::new([(x, y), (x + 22, y)], color.stroke_width(width))
    };
    chart.draw_series(LineSeries::new(raw, TRAINING.mix(0.28)))?;
    chart
        .draw_series(LineSeries::new(smooth, TRAINING.stroke_width(2)))?
        .label("training, smoothed")
        .legend(line(TRAINING, 2));
    if let Some((last, best)) = last_and_best(&curves.evaluation) {
        let points: Vec<(f64, f64)> =
            curves.evaluation.iter().map(|(step, loss)| (*step as f64, *loss)).collect();
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, EVALUATION.filled())))?;
        let best = if best < last { format!(" in the end, {best:.3} at best") } else { String::new() };
        let label = format!("evaluation, {last:.3}{best}");
        chart
            .draw_series(LineSeries::new(points, EVALUATION.stroke_width(2)))?
            .label(label)
            .legend(line(EVALUATION, 2));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(12)
        .legend_area_size(30)
        .background_style(WHITE.mix(0.9))
        .border_style(GRID)
        .label_font(font(14))
        .draw()?;
    root.present()
}

fn last_and_best(curve: &[(u64, f64)]) -> Option<(f64, f64)> {
    let best = curve.iter().map(|(_, loss)| *loss).min_by(f64::total_cmp)?;
    Some((curve.last()?.1, best))
}

/// Means of as many steps as make [`POINTS`] of them.
fn thinned(curve: &[(u64, f64)]) -> Vec<(f64, f64)> {
    let mean = |part: &[(u64, f64)]| {
        let n = part.len() as f64;
        (
            part.iter().map(|(step, _)| *step as f64).sum::<f64>() / n,
            part.iter().map(|(_, loss)| loss).sum::<f64>() / n,
        )
    };
    curve.chunks(curve.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

/// Means over a window of a fiftieth of the curve around each point.
fn smoothed(curve: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let around = |i: usize| {
        let half = curve.len() / 100;
        let part = &curve[i.saturating_sub(half)..(i + half + 1).min(curve.len())];
        (curve[i].0, part.iter().map(|(_, loss)| loss).sum::<f64>() / part.len() as f64)
    };
    (0..curve.len()).map(around).collect()
}

type Range = std::ops::Range<f64>;

/// What the axes show: all that is smooth, without the outliers of single steps.
fn ranges(raw: &[(f64, f64)], smooth: &[(f64, f64)], evaluation: &[(u64, f64)]) -> (Range, Range) {
    let evaluation = evaluation.iter().map(|(step, loss)| (*step as f64, *loss));
    let all: Vec<(f64, f64)> = smooth.iter().copied().chain(evaluation).collect();
    let last = all.iter().map(|(step, _)| *step).fold(1.0, f64::max);
    let high = all.iter().map(|(_, loss)| *loss).fold(f64::MIN_POSITIVE, f64::max);
    let mut low = all.iter().map(|(_, loss)| *loss).fold(high, f64::min);
    if let Some(lowest) = raw.iter().map(|(_, loss)| *loss).min_by(f64::total_cmp) {
        low = low.min(lowest);
    }
    let margin = ((high - low) * 0.06).max(0.01);
    // The legend stands above the end of the curve, where a loss is low.
    (0.0..last, (low - margin).max(0.0)..high + 2.0 * margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves(n: u64) -> Curves {
        let loss = |step: u64| 2.0 + 5.0 * (-(step as f64) / 300.0).exp();
        let noise = |step: u64| 0.3 * ((step * 2_654_435_761 % 1000) as f64 / 1000.0 - 0.5);
        Curves {
            training: (1..=n).map(|step| (step, loss(step) + noise(step))).collect(),
            evaluation: (1..=n).filter(|step| step % 100 == 0).map(|step| (step, loss(step) + 0.1)).collect(),
        }
    }

    #[test]
    fn curves_of_any_length_are_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loss.svg");
        for n in [0, 1, 2, 50, 3000] {
            draw(&path, &curves(n), "run").unwrap();
            let svg = std::fs::read_to_string(&path).unwrap();
            assert!(
                svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("nats a token"),
                "{n}"
            );
            assert!(svg.len() < 200_000 && !svg.contains("NaN"), "{n}: {} bytes", svg.len());
        }
        if let Some(keep) = std::env::var_os("POLYSKETCH_KEEP_PLOT") {
            std::fs::copy(&path, keep).unwrap();
        }
    }

    #[test]
    fn smoothing_keeps_lines_and_thinning_the_number_of_points() {
        let line: Vec<(f64, f64)> = (0..500).map(|i| (f64::from(i), f64::from(i))).collect();
        assert!(smoothed(&line).iter().zip(&line).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 3.0));
        assert!(smoothed(&line)[5..495].iter().zip(&line[5..]).all(|(a, b)| (a.1 - b.1).abs() < 1e-9));
        assert!(thinned(&(0..10_001).map(|i| (i, 1.0)).collect::<Vec<_>>()).len() <= POINTS);
    }
}

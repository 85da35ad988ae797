//! Kernels alone: under the roofline, and their shares of a plan.

use std::fmt::Write as _;

use plotters::chart::SeriesLabelPosition;
use polysketch::Result;
use polysketch::bench::compare::Set;
use polysketch::bench::{Row, Suite};
use polysketch::exec::KernelTime;

use super::super::rows::duration;
use super::devices::{device, short};
use super::html::{COLORS, curve, escape, heading, panel, paragraph, plots};
use crate::cli::output::{digits3, plural};
use crate::cli::panels::{Stroke, power_of_ten};

/// The section of rooflines.
pub fn roofline(page: &mut String, sets: &[Set]) -> Result<()> {
    let mut all = Vec::new();
    for set in sets {
        let rate = |name: &str, value: fn(&Row) -> Option<f64>| {
            set.rows.iter().find(|row| row.suite == Suite::Peaks && row.name == name).and_then(value)
        };
        let kernels: Vec<&Row> = set.rows.iter().filter(|row| row.suite == Suite::Kernels).collect();
        let peaks = kernels.iter().find_map(|row| Some((row.derived.peak_gflops?, row.derived.peak_gbps?)));
        let peaks =
            rate("fma", |row| row.derived.gflops).zip(rate("bandwidth", |row| row.derived.gbps)).or(peaks);
        let (Some((gflops, gbps)), false) = (peaks, kernels.is_empty()) else { continue };
        let point = |row: &Row| {
            let (flops, bytes) = (row.derived.flops? as f64, row.derived.bytes.filter(|b| *b > 0)? as f64);
            Some(((flops / bytes).log10(), row.derived.gflops?))
        };
        let of = |plan: &str| -> Vec<(f64, f64)> {
            kernels
                .iter()
                .filter(|row| row.workload.plan.as_deref() == Some(plan))
                .filter_map(|row| point(row))
                .collect()
        };
        let points: Vec<(f64, f64)> = ["prefill", "decode"].iter().flat_map(|plan| of(plan)).collect();
        let (low, high) =
            points.iter().fold((-1.0f64, 2.0f64), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
        let steps = 60;
        let roof = (0..=steps)
            .map(|i| low + (high - low) * f64::from(i) / f64::from(steps))
            .map(|x| (x, gflops.min(gbps * 10f64.powf(x))));
        // A name once, at its fastest.
        let mut named: Vec<(&str, (f64, f64))> = Vec::new();
        for row in &kernels {
            let Some(point) = point(row) else { continue };
            match named.iter_mut().find(|(name, _)| *name == row.name) {
                Some((_, best)) if point.1 > best.1 => *best = point,
                Some(_) => {}
                None => named.push((&row.name, point)),
            }
        }
        let curves = vec![
            curve(
                format!("roof: {} GFLOP/s, {} GB/s", digits3(gflops), digits3(gbps)),
                0,
                Stroke::Dashed,
                roof.collect(),
            ),
            curve("prefill".into(), 1, Stroke::Points, of("prefill")),
            curve("decode".into(), 2, Stroke::Points, of("decode")),
        ];
        let mut panel = panel(short(set, sets), "operations a byte", "GFLOP/s", power_of_ten, curves);
        panel.legend = Some(SeriesLabelPosition::LowerRight);
        panel.labels = named.into_iter().map(|(name, (x, y))| (x, y, name.to_string())).collect();
        all.push(panel);
    }
    if all.is_empty() {
        return Ok(());
    }
    heading(page, "Kernels under the roofline");
    paragraph(
        page,
        "Each kernel of the model's plans, alone, at its working shapes. The roof is what multiply-adds in \
         registers and streaming from memory reached \
         in the same run; what lies in caches may rise above its slope.",
    );
    plots(page, &all)
}

/// The section of shares.
pub fn shares(page: &mut String, sets: &[Set]) {
    let found: Vec<(&Set, &Row, &Vec<KernelTime>)> = sets
        .iter()
        .flat_map(|set| set.rows.iter().filter_map(move |row| Some((set, row, row.derived.shares.as_ref()?))))
        .collect();
    if found.is_empty() {
        return;
    }
    heading(page, "Where the time goes");
    page.push_str("<div class=plots>");
    for set in sets {
        let mine: Vec<_> = found.iter().filter(|(owner, ..)| std::ptr::eq(*owner, set)).collect();
        if mine.is_empty() {
            continue;
        }
        let _ = write!(page, "<div class=card><h3>{}</h3>", device(set));
        // A colour a kernel, whatever the plan.
        let mut names: Vec<&str> = Vec::new();
        for (_, row, shares) in mine {
            let all: f64 = shares.iter().map(|k| k.nanoseconds).sum::<f64>().max(1.0);
            let what = match row.suite {
                Suite::Train => "training call".into(),
                Suite::Attention => [&row.workload.kind, &row.workload.operation]
                    .map(|part| escape(part.as_deref().unwrap_or_default()))
                    .join(", "),
                _ => row.workload.plan.clone().unwrap_or_default(),
            };
            let tokens = plural(row.workload.tokens.unwrap_or(1), "token");
            let _ = write!(
                page,
                "<div class=share>{what}, {tokens}: {} in kernels</div><div class=bar>",
                duration(all)
            );
            let mut legend = String::new();
            let shown = shares.iter().filter(|k| k.nanoseconds / all >= 0.03);
            for k in shown {
                if !names.contains(&k.kernel.as_str()) {
                    names.push(&k.kernel);
                }
                let at = names.iter().position(|name| *name == k.kernel).unwrap_or(0);
                let c = COLORS[(at + 1) % COLORS.len()];
                let (color, percent) =
                    (format!("#{:02x}{:02x}{:02x}", c.0, c.1, c.2), 100.0 * k.nanoseconds / all);
                let name = escape(&k.kernel);
                let _ = write!(
                    page,
                    "<span style=\"width:{percent:.2}%;background:{color}\" title=\"{name} {percent:.1} %\"></span>"
                );
                let _ =
                    write!(legend, "<span><i style=\"background:{color}\"></i>{name} {percent:.0} %</span>");
            }
            let _ = write!(page, "</div><div class=legend>{legend}</div>");
        }
        page.push_str("</div>");
    }
    page.push_str("</div>");
}

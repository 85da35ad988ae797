//! Kernels alone: under the roofline, and their shares of a plan.

use plotters::chart::SeriesLabelPosition;
use polysketch::Result;
use polysketch::bench::compare::Set;
use polysketch::bench::{Row, Suite};
use polysketch::exec::KernelTime;

use super::super::rows::duration;
use super::devices::{device, short};
use super::html::{COLORS, Html, beside, card, curve, heading, panel, paragraph, plots};
use crate::cli::output::{digits3, plural};
use crate::cli::panels::{Stroke, power_of_ten};

/// The section of rooflines.
pub fn roofline(page: &mut Html, sets: &[Set]) -> Result<()> {
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
pub fn shares(page: &mut Html, sets: &[Set]) {
    let found: Vec<(&Set, &Row, &Vec<KernelTime>)> = sets
        .iter()
        .flat_map(|set| set.rows.iter().filter_map(move |row| Some((set, row, row.derived.shares.as_ref()?))))
        .collect();
    if found.is_empty() {
        return;
    }
    heading(page, "Where the time goes");
    let mut cards = Html::default();
    for set in sets {
        let mine: Vec<_> = found.iter().filter(|(owner, ..)| std::ptr::eq(*owner, set)).collect();
        if mine.is_empty() {
            continue;
        }
        let mut inside = Html::element("h3", &[], device(set, sets));
        // A colour a kernel, whatever the plan.
        let mut names: Vec<&str> = Vec::new();
        for (_, row, shares) in mine {
            inside.push(bar(row, shares, &mut names));
        }
        cards.push(card(inside));
    }
    page.push(beside(cards));
}

/// The kernels of a plan as parts of a bar, with a legend.
fn bar<'a>(row: &Row, shares: &'a [KernelTime], names: &mut Vec<&'a str>) -> Html {
    let all: f64 = shares.iter().map(|k| k.nanoseconds).sum::<f64>().max(1.0);
    let w = &row.workload;
    let what = match row.suite {
        Suite::Train => "training call".to_string(),
        Suite::Attention => {
            [&w.kind, &w.operation].map(|part| part.as_deref().unwrap_or_default()).join(", ")
        }
        _ => w.plan.clone().unwrap_or_default(),
    };
    let about = format!("{what}, {}: {} in kernels", plural(w.tokens.unwrap_or(1), "token"), duration(all));
    let (mut parts, mut legend) = (Html::default(), Html::default());
    for k in shares.iter().filter(|k| k.nanoseconds / all >= 0.03) {
        if !names.contains(&k.kernel.as_str()) {
            names.push(&k.kernel);
        }
        let at = names.iter().position(|name| *name == k.kernel).unwrap_or(0);
        let c = COLORS[(at + 1) % COLORS.len()];
        let ground = format!("background:#{:02x}{:02x}{:02x}", c.0, c.1, c.2);
        let percent = 100.0 * k.nanoseconds / all;
        let (style, title) =
            (format!("width:{percent:.2}%;{ground}"), format!("{} {percent:.1} %", k.kernel));
        parts.push(Html::element("span", &[("style", &style), ("title", &title)], Html::default()));
        let mut entry = Html::element("i", &[("style", &ground)], Html::default());
        entry.push(Html::text(&format!("{} {percent:.0} %", k.kernel)));
        legend.push(Html::element("span", &[], entry));
    }
    let part = |class: &str, inside: Html| Html::element("div", &[("class", class)], inside);
    [part("share", Html::text(&about)), part("bar", parts), part("legend", legend)].into_iter().collect()
}

//! `bench report`: rows as one page with plots, light or dark as its reader's system is, that needs nothing
//! but itself.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use plotters::chart::SeriesLabelPosition;
use plotters::style::RGBColor;
use polysketch::Result;
use polysketch::bench::compare::Set;
use polysketch::bench::{Row, Suite};
use polysketch::exec::KernelTime;
use polysketch::model::files::atomic_write;

use super::bench::{duration, no_rows, note, rate, read};
use super::failure::{Outcome, tell};
use super::options::Common;
use super::output::{bytes, check_place, digits3, plural, thousands};
use super::panels::{self, Curve, Panel, Stroke, power_of_ten};
use super::report::{plain_power, power_of_two};

/// What `bench report` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Files of rows (bench --out)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The page to write, HTML
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
    /// Also its plots of time against length (attention) and against depth (model), SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Also the table of attention alone, Markdown
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

const TEMPLATE: &str = include_str!("bench_report.html");
/// Width and height of a plot.
const PLOT: (u32, u32) = (560, 400);
/// Colours that are told apart on light and on dark.
const COLORS: [RGBColor; 8] = [
    RGBColor(0x8a, 0x97, 0xa8),
    RGBColor(0x31, 0x82, 0xce),
    RGBColor(0xdd, 0x6b, 0x20),
    RGBColor(0x38, 0xa1, 0x69),
    RGBColor(0xc0, 0x4a, 0x9a),
    RGBColor(0x0f, 0x9b, 0x9b),
    RGBColor(0xc9, 0x9a, 0x1c),
    RGBColor(0xd6, 0x45, 0x45),
];
/// The two that are drawn for every device.
const BASELINE: &str = "softmax";
const OURS: &str = "polysketch, learned sketch";

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let sets: Vec<Set> = read(&options.files)?.into_iter().flat_map(Set::split).collect();
    let count = sets.iter().map(|set| set.rows.len()).sum();
    if count == 0 {
        return Err(no_rows(&options.files[0]).into());
    }
    for path in [Some(&options.out), options.svg.as_ref(), options.table.as_ref()].into_iter().flatten() {
        check_place(path)?;
    }
    let page = TEMPLATE.replace("BODY", &body(&sets)?);
    atomic_write(&options.out, |w| w.write_all(page.as_bytes()))?;
    if let Some(path) = &options.svg {
        scaling_plot(path, &sets)?;
    }
    if let Some(path) = &options.table {
        atomic_write(path, |w| w.write_all(scaling_table(&sets).as_bytes()))?;
    }
    if common.talks() {
        tell(format_args!("written: {}, {}", options.out.display(), plural(count, "row")));
    }
    Ok(())
}

fn body(sets: &[Set]) -> Result<String> {
    let mut page = String::from("<h1>polysketch bench</h1>");
    let dates = || sets.iter().flat_map(|set| &set.rows).map(|row| row.date.get(..10).unwrap_or_default());
    let (first, last) = (dates().min().unwrap_or_default(), dates().max().unwrap_or_default());
    let when = if first == last { first.to_string() } else { format!("{first} to {last}") };
    let count: usize = sets.iter().map(|set| set.rows.len()).sum();
    paragraph(
        &mut page,
        &format!(
            "{}, {}, {when}. Medians; every result was held against f64 in the same run.",
            plural(sets.len(), "run"),
            plural(count, "row")
        ),
    );
    devices(&mut page, sets);
    attention(&mut page, sets)?;
    roofline(&mut page, sets)?;
    shares(&mut page, sets);
    model(&mut page, sets)?;
    training(&mut page, sets)?;
    all_rows(&mut page, sets);
    Ok(page)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn heading(page: &mut String, text: &str) {
    let _ = write!(page, "<h2>{}</h2>", escape(text));
}

fn paragraph(page: &mut String, text: &str) {
    let _ = write!(page, "<p>{}</p>", escape(text));
}

/// A cell: words, a number, a note, or ready HTML.
enum Cell {
    Words(String),
    Number(String),
    Note(String),
    Html(String),
}

fn table(page: &mut String, head: &[&str], rows: &[Vec<Cell>]) {
    let numeric = |column: usize| {
        rows.first().and_then(|row| row.get(column)).is_some_and(|cell| matches!(cell, Cell::Number(_)))
    };
    page.push_str("<div class=card><table><tr>");
    for (column, text) in head.iter().enumerate() {
        let _ =
            write!(page, "<th{}>{}</th>", if numeric(column) { " class=number" } else { "" }, escape(text));
    }
    page.push_str("</tr>");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            let _ = match cell {
                Cell::Words(text) => write!(page, "<td>{}</td>", escape(text)),
                Cell::Number(text) => write!(page, "<td class=number>{}</td>", escape(text)),
                Cell::Note(text) => write!(page, "<td class=text>{}</td>", escape(text)),
                Cell::Html(html) => write!(page, "<td>{html}</td>"),
            };
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></div>");
}

fn plots(page: &mut String, panels: &[Panel]) -> Result<()> {
    let drawn = panels.iter().filter(|panel| panel.curves.iter().any(|curve| !curve.points.is_empty()));
    page.push_str("<div class=plots>");
    for panel in drawn {
        let _ = write!(page, "<div class=card>{}</div>", panels::inline(panel, PLOT)?);
    }
    page.push_str("</div>");
    Ok(())
}

/// The device, with a mark for those that are no GPUs.
fn device(set: &Set) -> String {
    let Some(row) = set.rows.first() else { return String::new() };
    let name = escape(&match row.device.kind.as_str() {
        "software" => format!("{} ({})", row.device.name, row.device.backend),
        _ => set.device.clone(),
    });
    if row.device.kind == "software" {
        format!("{name}<span class=tag>software adapter</span>")
    } else {
        name
    }
}

/// A short name of a run for legends: its build only where devices come twice, its number where the build
/// does too.
fn short(set: &Set, sets: &[Set]) -> String {
    let again = sets.iter().filter(|other| other.device == set.device).count() > 1;
    let same = sets.iter().filter(|other| other.device == set.device && other.build == set.build);
    let number = same.clone().count() > 1;
    let number = if number { same.take_while(|other| !std::ptr::eq(*other, set)).count() + 1 } else { 0 };
    let name: String = set.device.split(" (LLVM").next().unwrap_or(&set.device).to_string();
    let kind = set.rows.first().map_or("", |row| row.device.kind.as_str());
    let backend = set.rows.first().map_or("", |row| row.device.backend.as_str());
    let name = if name == set.device { name } else { format!("{name} ({backend}, {kind})") };
    match (again, number) {
        (false, _) => name,
        (true, 0) => format!("{name}, {}", set.build),
        (true, number) => format!("{name}, {}, run {number}", set.build),
    }
}

fn devices(page: &mut String, sets: &[Set]) {
    let peak = |set: &Set, name: &str, value: fn(&Row) -> Option<f64>| {
        let row = set.rows.iter().find(|row| row.suite == Suite::Peaks && row.name == name);
        row.and_then(value).map_or("–".into(), digits3)
    };
    let rows: Vec<Vec<Cell>> = sets
        .iter()
        .filter_map(|set| {
            let row = set.rows.first()?;
            let d = &row.device;
            Some(vec![
                Cell::Html(device(set)),
                Cell::Note(format!("{} {}", d.driver, d.driver_info).trim().into()),
                Cell::Note(d.browser.clone().unwrap_or(format!("{} {}", d.os, d.arch))),
                Cell::Words(set.build.clone()),
                Cell::Number(peak(set, "fma", |row| row.derived.gflops)),
                Cell::Number(peak(set, "matmul", |row| row.derived.gflops)),
                Cell::Number(peak(set, "bandwidth", |row| row.derived.gbps)),
                Cell::Number(
                    set.rows
                        .iter()
                        .find(|row| row.name == "dispatch")
                        .and_then(Row::median_ns)
                        .map_or("–".into(), |ns| digits3(ns * 1e-3)),
                ),
            ])
        })
        .collect();
    heading(page, "Devices");
    table(
        page,
        &["device", "driver", "system", "build", "peak GFLOP/s", "matmul", "GB/s", "dispatch µs"],
        &rows,
    );
}

/// Times of one kind against the length, in seconds.
fn times(set: &Set, pass: &str, kind: &str) -> Vec<(f64, f64)> {
    let rows = set.rows.iter().filter(|row| {
        row.suite == Suite::Attention && row.name == pass && row.workload.kind.as_deref() == Some(kind)
    });
    rows.filter_map(|row| Some(((row.workload.tokens? as f64).log2(), row.median_ns()? * 1e-9))).collect()
}

fn curve(label: String, color: usize, stroke: Stroke, points: Vec<(f64, f64)>) -> Curve {
    Curve { label: Some(label), color: COLORS[color % COLORS.len()], strength: 1.0, stroke, points }
}

fn panel(
    title: String,
    x: &'static str,
    y: &'static str,
    x_name: fn(i32) -> String,
    curves: Vec<Curve>,
) -> Panel {
    // A curve of nothing has no place in the legend.
    let curves = curves.into_iter().filter(|curve| !curve.points.is_empty()).collect();
    Panel {
        title,
        x,
        y,
        x_name,
        y_name: power_of_ten,
        curves,
        legend: Some(SeriesLabelPosition::UpperLeft),
        labels: Vec::new(),
    }
}

/// Passes of attention, by name and in words.
const PASSES: [(&str, &str); 2] = [("forward", "forward"), ("forward_backward", "forward and backward")];

/// Plots of a pass: all devices where there are several, then each device with all its kinds.
fn attention_panels(sets: &[Set], (pass, name): (&str, &str)) -> Vec<Panel> {
    let mut kinds: Vec<&str> = Vec::new();
    for row in sets.iter().flat_map(|set| &set.rows).filter(|row| row.suite == Suite::Attention) {
        if let Some(kind) = row.workload.kind.as_deref().filter(|kind| !kinds.contains(kind)) {
            kinds.push(kind);
        }
    }
    let mut all = Vec::new();
    if sets.len() > 1 {
        let curves = sets.iter().enumerate().flat_map(|(i, set)| {
            let name = short(set, sets);
            [
                curve(format!("{OURS}: {name}"), i + 1, Stroke::Solid, times(set, pass, OURS)),
                curve(format!("{BASELINE}: {name}"), i + 1, Stroke::Dashed, times(set, pass, BASELINE)),
            ]
        });
        all.push(panel(
            format!("{name}: all devices"),
            "tokens n",
            "seconds",
            power_of_two,
            curves.collect(),
        ));
    }
    all.extend(sets.iter().map(|set| {
        let curves = kinds
            .iter()
            .enumerate()
            .map(|(i, kind)| curve(kind.to_string(), i, Stroke::Solid, times(set, pass, kind)));
        panel(format!("{name}: {}", short(set, sets)), "tokens n", "seconds", power_of_two, curves.collect())
    }));
    all
}

/// What was fitted of attention, after the device of each line.
const FITTED: [&str; 6] = ["kind", "pass", "time grows as", "n", "faster than softmax", "of softmax's speed"];

fn fitted(sets: &[Set]) -> Vec<(&Set, [String; 6])> {
    let mut lines = Vec::new();
    for set in sets {
        for row in set.rows.iter().filter(|row| row.suite == Suite::Attention && row.name == "exponent") {
            let (kind, pass) = (
                row.workload.kind.clone().unwrap_or_default(),
                row.workload.operation.clone().unwrap_or_default(),
            );
            let same = |other: &&Row| other.workload.kind == row.workload.kind;
            let crossing = set.rows.iter().filter(same).find(|other| {
                other.name == "crossover" && other.workload.operation == row.workload.operation
            });
            let longest = set
                .rows
                .iter()
                .filter(same)
                .filter(|other| other.name == pass && other.derived.speedup.is_some());
            let longest = longest.max_by_key(|other| other.workload.tokens);
            let crossing =
                crossing.map_or(String::new(), |row| match (row.derived.crossover_tokens, &row.skipped) {
                    (Some(n), _) => format!("from n = {}", thousands(n as u64)),
                    (None, Some(why)) => why.clone(),
                    _ => String::new(),
                });
            let d = &row.derived;
            let range = d.exponent_from.zip(d.exponent_to).map_or(String::new(), |(a, b)| {
                format!("{} to {}", thousands(a as u64), thousands(b as u64))
            });
            let speedup = longest.map_or(String::new(), |row| {
                let ratio = digits3(row.derived.speedup.unwrap_or(1.0));
                format!("{ratio}× at {}", thousands(row.workload.tokens.unwrap_or(0) as u64))
            });
            let grows = d.exponent.map_or("–".into(), |a| format!("n^{a:.2}"));
            lines.push((set, [kind, pass.replace('_', " and "), grows, range, crossing, speedup]));
        }
    }
    lines
}

fn attention(page: &mut String, sets: &[Set]) -> Result<()> {
    let Some(first) = sets.iter().flat_map(|set| &set.rows).find(|row| row.suite == Suite::Attention) else {
        return Ok(());
    };
    heading(page, "Attention: time against length");
    let w = &first.workload;
    paragraph(
        page,
        &format!(
            "{} of {}, one text. Softmax is this engine's own flash attention, in turns with the others. Lengths that take longer than the budget \
             of a row are left out.",
            plural(w.heads.unwrap_or(1), "head"),
            w.head.unwrap_or(0)
        ),
    );
    for pass in PASSES {
        plots(page, &attention_panels(sets, pass))?;
    }
    let cells = fitted(sets).into_iter().map(|(set, [kind, pass, grows, range, crossing, speedup])| {
        let words = [kind, pass].map(Cell::Words).into_iter();
        let rest = [Cell::Number(grows), Cell::Words(range), Cell::Words(crossing), Cell::Number(speedup)];
        std::iter::once(Cell::Html(device(set))).chain(words).chain(rest).collect()
    });
    table(page, &[&["device"][..], &FITTED].concat(), &cells.collect::<Vec<Vec<Cell>>>());
    Ok(())
}

/// The plots against length alone, of all devices where there are several; and those of a model against
/// depth, where it was measured.
fn scaling_plot(path: &Path, sets: &[Set]) -> Result<()> {
    let has = |suite| sets.iter().flat_map(|set| &set.rows).any(|row| row.suite == suite);
    let mut rows: Vec<Vec<Panel>> = Vec::new();
    if has(Suite::Attention) {
        rows.push(
            PASSES.iter().filter_map(|pass| attention_panels(sets, *pass).into_iter().next()).collect(),
        );
    }
    rows.extend(model_panels(sets).map(Vec::from));
    let title = if has(Suite::Attention) {
        "Attention: time against length"
    } else {
        "A text: time and memory against what was read of it"
    };
    panels::draw(path, title, "polysketch bench; medians, every result held against f64", &rows)
}

/// Time of a token and memory of a text against what was read of it; none where fewer than two depths were
/// measured.
fn model_panels(sets: &[Set]) -> Option<[Panel; 2]> {
    let points = |set: &Set, name: &str, value: &dyn Fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
        let rows = set
            .rows
            .iter()
            .filter(|row| row.suite == Suite::Model && row.name == name && row.statistics.is_some());
        rows.filter_map(|row| {
            Some(((row.workload.depth.filter(|depth| *depth > 0)? as f64).log2(), value(row)?))
        })
        .collect()
    };
    let each = |row: &Row| Some(row.median_ns()? * 1e-6 / row.workload.tokens? as f64);
    let mib = |bytes: Option<u64>| Some(bytes? as f64 / f64::from(1 << 20));
    // Of one shape, whichever device says it.
    let cache = sets
        .iter()
        .map(|set| points(set, "decode", &|row| mib(row.derived.softmax_cache_bytes)))
        .find(|points| points.len() > 1)?;
    let mut times = Vec::new();
    let mut memory = vec![curve("key-value cache of softmax, same shape".into(), 0, Stroke::Dashed, cache)];
    for (i, set) in sets.iter().enumerate() {
        let of = |what: &str| {
            if sets.len() > 1 { format!("{what}: {}", short(set, sets)) } else { what.to_string() }
        };
        times.push(curve(of("writing"), 2 * i + 1, Stroke::Solid, points(set, "decode", &each)));
        times.push(curve(of("reading"), 2 * i + 2, Stroke::Solid, points(set, "prefill", &each)));
        memory.push(curve(
            of("state"),
            2 * i + 1,
            Stroke::Solid,
            points(set, "decode", &|row| mib(row.derived.state_bytes)),
        ));
    }
    let time = Panel {
        y_name: plain_power,
        ..panel("time of a token".into(), "tokens before it", "ms", power_of_two, times)
    };
    let memory = Panel {
        y_name: plain_power,
        ..panel("memory of a text".into(), "tokens before it", "MiB", power_of_two, memory)
    };
    Some([time, memory])
}

/// What was fitted of attention, Markdown.
fn scaling_table(sets: &[Set]) -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&[&["device"][..], &FITTED].concat()) + &line(&["---"; 7]);
    for (set, cells) in fitted(sets) {
        let name = short(set, sets);
        let cells: Vec<&str> =
            std::iter::once(name.as_str()).chain(cells.iter().map(String::as_str)).collect();
        text += &line(&cells);
    }
    text
}

fn roofline(page: &mut String, sets: &[Set]) -> Result<()> {
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
        "Each kernel of the model's plans, alone, at its working shapes. The roof is what multiply-adds in registers and streaming from memory reached \
         in the same run; what lies in caches may rise above its slope.",
    );
    plots(page, &all)
}

fn shares(page: &mut String, sets: &[Set]) {
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

fn model(page: &mut String, sets: &[Set]) -> Result<()> {
    let mut cells = Vec::new();
    for set in sets {
        for row in set.rows.iter().filter(|row| row.suite == Suite::Model && row.name != "shares") {
            let Some(ns) = row.median_ns() else { continue };
            let each = row
                .workload
                .tokens
                .filter(|n| *n > 0 && row.name != "first_token")
                .map_or(String::new(), |n| duration(ns / n as f64));
            cells.push(vec![
                Cell::Html(device(set)),
                Cell::Words(row.name.replace('_', " ")),
                Cell::Number(row.workload.tokens.map_or(String::new(), |n| thousands(n as u64))),
                Cell::Number(row.workload.depth.map_or(String::new(), |n| thousands(n as u64))),
                Cell::Number(duration(ns)),
                Cell::Number(each),
                Cell::Number(rate(row)),
                Cell::Number(row.derived.state_bytes.map_or(String::new(), bytes)),
            ]);
        }
    }
    if !cells.is_empty() {
        heading(page, "A model, reading and writing");
        paragraph(
            page,
            "By the clock on the wall, on top of texts of different lengths: what a user waits for.",
        );
        if let Some(panels) = model_panels(sets) {
            plots(page, &panels)?;
        }
        table(page, &["device", "what", "tokens", "after", "median", "a token", "rate", "state"], &cells);
    }
    Ok(())
}

fn training(page: &mut String, sets: &[Set]) -> Result<()> {
    let points = |set: &Set, value: &dyn Fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
        let rows = set
            .rows
            .iter()
            .filter(|row| row.suite == Suite::Train && row.name == "step" && row.statistics.is_some());
        rows.filter_map(|row| Some(((row.workload.tokens? as f64).log2(), value(row)?))).collect()
    };
    let curves = |value: &dyn Fn(&Row) -> Option<f64>| -> Vec<Curve> {
        sets.iter()
            .enumerate()
            .map(|(i, set)| curve(short(set, sets), i + 1, Stroke::Solid, points(set, value)))
            .collect()
    };
    let time = panel(
        "a step of one sequence".into(),
        "tokens n",
        "seconds",
        power_of_two,
        curves(&|row| Some(row.median_ns()? * 1e-9)),
    );
    if time.curves.is_empty() {
        return Ok(());
    }
    let memory = curves(&|row| Some(row.derived.memory_bytes? as f64 / f64::from(1 << 20)));
    let memory = Panel {
        y_name: plain_power,
        ..panel("memory, planned".into(), "tokens n", "MiB", power_of_two, memory)
    };
    heading(page, "Training a model");
    plots(page, &[time, memory])
}

fn all_rows(page: &mut String, sets: &[Set]) {
    page.push_str("<details><summary>All rows</summary>");
    for set in sets {
        let _ = write!(page, "<h3>{}</h3>", device(set));
        let cells = set.rows.iter().map(|row| {
            let s = row.statistics.as_ref();
            vec![
                Cell::Words(row.suite.to_string()),
                Cell::Words(row.name.clone()),
                Cell::Words(row.label()),
                Cell::Number(s.map_or(String::new(), |s| duration(s.median_ns))),
                Cell::Number(s.map_or(String::new(), |s| duration(s.min_ns))),
                Cell::Number(s.map_or(String::new(), |s| duration(s.p95_ns))),
                Cell::Number(s.map_or(String::new(), |s| s.n.to_string())),
                Cell::Number(rate(row)),
                Cell::Number(
                    row.derived
                        .share_of_peak
                        .map_or(String::new(), |share| format!("{:.0} %", 100.0 * share)),
                ),
                Cell::Number(
                    row.check.as_ref().map_or(String::new(), |check| format!("{:.0e}", check.error)),
                ),
                Cell::Note(note(row)),
            ]
        });
        let cells: Vec<Vec<Cell>> = cells.collect();
        table(
            page,
            &[
                "suite", "name", "workload", "median", "least", "p95", "samples", "rate", "of peak", "error",
                "",
            ],
            &cells,
        );
    }
    page.push_str("</details>");
}

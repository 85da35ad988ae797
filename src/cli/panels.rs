//! Plots of reports: a grid of panels with logarithmic axes, as SVG.

use std::fmt::Display;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use polysketch::Result;
use polysketch::text::printable;

use super::plot::{self, GRID, INK, font, save};

/// Width and height of a panel.
const PANEL: (u32, u32) = (430, 400);
const HEADER: u32 = 72;

/// Colours that are told apart, also by the colour-blind.
pub const COLORS: [RGBColor; 4] = [
    RGBColor(0x2b, 0x6c, 0xb0),
    RGBColor(0xdd, 0x6b, 0x20),
    RGBColor(0x2f, 0x85, 0x5a),
    RGBColor(0x97, 0x26, 0x6d),
];
/// For what is there to compare with.
pub const GREY: RGBColor = RGBColor(0x71, 0x80, 0x96);

/// How the points of a curve are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    Solid,
    Dashed,
    /// Marks only.
    Points,
}

/// A curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// In the legend; none: another line of the curve before.
    pub label: Option<String>,
    pub color: RGBColor,
    /// 1: the colour itself; less: paler.
    pub strength: f64,
    pub stroke: Stroke,
    /// x as it is on its axis, y before the logarithm.
    pub points: Vec<(f64, f64)>,
}

/// One plot: x linear (often a logarithm already), y logarithmic.
#[derive(Clone, Debug)]
pub struct Panel {
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    /// Name of a whole x.
    pub x_name: fn(i32) -> String,
    /// Name of 10 to some power.
    pub y_name: fn(i32) -> String,
    pub curves: Vec<Curve>,
    /// Where the legend has room; none: no legend.
    pub legend: Option<SeriesLabelPosition>,
    /// Words beside points.
    pub labels: Vec<(f64, f64, String)>,
}

/// `10⁻³`
pub fn power_of_ten(exponent: i32) -> String {
    let digit = |c: char| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(c as usize - '0' as usize).unwrap_or('⁻');
    format!(
        "10{}",
        exponent.to_string().chars().map(|c| if c == '-' { '⁻' } else { digit(c) }).collect::<String>()
    )
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

/// Draws rows of panels to an SVG file. The panels of a row share its width.
///
/// # Errors
/// [`polysketch::ErrorKind::Io`] if it cannot be written.
pub fn draw(path: &Path, title: &str, about: &str, rows: &[Vec<Panel>]) -> Result<()> {
    let mut svg = String::new();
    let drawn = grid(&mut svg, title, about, rows);
    save(path, &svg, drawn)
}

/// One panel for a page, in the page's own colours: of text, of lines behind (`--grid`) and of the paper
/// (`--paper`).
///
/// # Errors
/// [`polysketch::ErrorKind::Io`] if it cannot be drawn.
pub fn inline(panel: &Panel, size: (u32, u32)) -> Result<String> {
    let mut svg = String::new();
    alone(&mut svg, panel, size).map_err(|e| plot::undrawn(&panel.title, e))?;
    let hex = |c: RGBColor| format!("\"#{:02X}{:02X}{:02X}\"", c.0, c.1, c.2);
    let named = [(INK, "currentColor"), (GRID, "var(--grid)"), (WHITE, "var(--paper)")];
    Ok(named.into_iter().fold(svg, |svg, (color, name)| svg.replace(&hex(color), &format!("\"{name}\""))))
}

fn alone(svg: &mut String, panel: &Panel, size: (u32, u32)) -> std::result::Result<(), impl Display + use<>> {
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    one(&root, panel)?;
    root.present()
}

fn grid(
    svg: &mut String,
    title: &str,
    about: &str,
    rows: &[Vec<Panel>],
) -> std::result::Result<(), impl Display + use<>> {
    let most = rows.iter().map(Vec::len).max().unwrap_or(1) as u32;
    let size = (most.max(2) * PANEL.0, HEADER + rows.len() as u32 * PANEL.1);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    let left = Pos::new(HPos::Left, VPos::Top);
    root.draw(&Text::new(title.to_string(), (24, 18), font(22).pos(left)))?;
    root.draw(&Text::new(about.to_string(), (24, 46), font(14).pos(left)))?;
    let (_, body) = root.split_vertically(HEADER);
    for (area, panels) in body.split_evenly((rows.len().max(1), 1)).iter().zip(rows) {
        for (area, panel) in area.split_evenly((1, panels.len().max(1))).iter().zip(panels) {
            one(area, panel)?;
        }
    }
    root.present()
}

/// Whether a number has powers of ten around it that are numbers too; an axis needs them.
pub fn has_decades(y: f64) -> bool {
    (1e-200..1e200).contains(&y)
}

/// A range around positive numbers that ends at 1, 2 or 5 times a power of ten, with such a power inside.
fn decades(low: f64, high: f64) -> (f64, f64) {
    let round = |x: f64, steps: &[f64]| {
        let power = 10f64.powf(x.log10().floor());
        steps.iter().map(|step| step * power).collect::<Vec<f64>>()
    };
    let below =
        round(low, &[0.5, 1.0, 2.0, 5.0]).into_iter().rfind(|x| *x <= low * 0.98).unwrap_or(low / 2.0);
    let above =
        round(high, &[2.0, 5.0, 10.0, 20.0]).into_iter().find(|x| *x >= high * 1.02).unwrap_or(high * 2.0);
    let power = 10f64.powf(below.log10().ceil());
    (below, if power > above { power } else { above })
}

type Drawn<'a> = std::result::Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn one<'a>(area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>, panel: &Panel) -> Drawn<'a> {
    let points = || {
        panel.curves.iter().flat_map(|curve| &curve.points).filter(|(x, y)| x.is_finite() && has_decades(*y))
    };
    let x =
        points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    let y = points().fold((f64::INFINITY, 0.0f64), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
    if points().next().is_none() {
        return Ok(());
    }
    // Room for a legend above: the part of the axis that it covers.
    let above =
        matches!(panel.legend, Some(SeriesLabelPosition::UpperLeft | SeriesLabelPosition::UpperRight));
    let names = panel.curves.iter().filter(|curve| curve.label.is_some()).count() as f64;
    let covered = ((16.0 + 18.0 * names) / f64::from(area.dim_in_pixel().1.max(200) - 100)).min(0.7);
    let high = if above { y.1 * (y.1 / y.0).powf(covered / (1.0 - covered)).max(4.0) } else { y.1 };
    let (low, high) = decades(y.0, high);
    let mut chart = ChartBuilder::on(area)
        .caption(printable(&panel.title), font(16))
        .margin(14)
        .margin_right(20)
        .x_label_area_size(42)
        .y_label_area_size(70)
        .build_cartesian_2d(x.0 - 0.15..x.1 + 0.15, (low..high).log_scale())?;
    let names = (x.1 - x.0).round() as usize + 1;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK.mix(0.4))
        .label_style(font(13))
        .axis_desc_style(font(14))
        .x_desc(panel.x)
        .y_desc(panel.y)
        .x_labels(names.min(8))
        .y_labels(((high / low).log10() as usize).max(1))
        .x_label_formatter(&|x| {
            if (x - x.round()).abs() < 1e-6 { (panel.x_name)(x.round() as i32) } else { String::new() }
        })
        .y_label_formatter(&|y| (panel.y_name)(y.log10().round() as i32))
        .draw()?;
    for curve in &panel.curves {
        let style = curve.color.mix(curve.strength).stroke_width(2);
        let points: Vec<(f64, f64)> =
            curve.points.iter().copied().filter(|(_, y)| *y > 0.0 && y.is_finite()).collect();
        let marks = points.iter().map(|point| {
            Circle::new(*point, if curve.stroke == Stroke::Points { 5 } else { 3 }, style.filled())
        });
        if curve.stroke != Stroke::Dashed {
            chart.draw_series(marks)?;
        }
        let series = match curve.stroke {
            Stroke::Solid => chart.draw_series(LineSeries::new(points, style))?,
            Stroke::Dashed => chart.draw_series(DashedLineSeries::new(points, 6, 5, style))?,
            Stroke::Points => chart.draw_series(LineSeries::new(Vec::new(), style))?,
        };
        if let Some(label) = &curve.label {
            let (pieces, mark) = match curve.stroke {
                Stroke::Solid => ([(0, 10), (10, 20)], 3),
                Stroke::Dashed => ([(0, 8), (12, 20)], 0),
                Stroke::Points => ([(10, 10), (10, 10)], 5),
            };
            series.label(printable(label)).legend(move |at| {
                let [first, second] = pieces.map(|(from, to)| PathElement::new([(from, 0), (to, 0)], style));
                EmptyElement::at(at) + first + second + Circle::new((10, 0), mark, style.filled())
            });
        }
    }
    let beside = |(x, y, text): &(f64, f64, String)| {
        EmptyElement::at((*x, *y)) + Text::new(printable(text), (7, -6), font(12))
    };
    chart.draw_series(panel.labels.iter().map(beside))?;
    if let Some(position) = &panel.legend {
        chart
            .configure_series_labels()
            .position(position.clone())
            .margin(8)
            .legend_area_size(26)
            .background_style(WHITE.mix(0.9))
            .border_style(GRID)
            .label_font(font(13))
            .draw()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers() {
        assert_eq!([-12, 0, 3].map(power_of_ten), ["10⁻¹²", "10⁰", "10³"]);
        assert_eq!([4, 10, 16, 20].map(power_of_two), ["16", "1k", "64k", "1M"]);
        assert_eq!([-2, 2].map(plain_power), ["0.01", "100"]);
    }

    #[test]
    fn any_numbers_are_drawn() {
        let close =
            |(a, b): (f64, f64), (c, d): (f64, f64)| (a / c - 1.0).abs() < 1e-9 && (b / d - 1.0).abs() < 1e-9;
        assert!(
            close(decades(0.07, 0.7), (0.05, 1.0))
                && close(decades(1.0, 90.0), (0.5, 100.0))
                && close(decades(2.1, 4.0), (2.0, 10.0))
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plot.svg");
        let panel = |points: &[(f64, f64)]| Panel {
            title: "a panel".into(),
            x: "n",
            y: "seconds",
            x_name: |x| x.to_string(),
            y_name: power_of_ten,
            curves: [Stroke::Solid, Stroke::Dashed, Stroke::Points]
                .map(|stroke| Curve {
                    label: Some("curve".into()),
                    color: COLORS[0],
                    strength: 1.0,
                    stroke,
                    points: points.to_vec(),
                })
                .to_vec(),
            legend: Some(SeriesLabelPosition::UpperLeft),
            labels: points.iter().map(|(x, y)| (*x, *y, "here".to_string())).collect(),
        };
        assert!(inline(&panel(&[(1.0, 1.0), (2.0, 9.0)]), (500, 400)).unwrap().contains("currentColor"));
        let panels =
            [&[][..], &[(1.0, 1.0)], &[(1.0, 0.0), (2.0, f64::NAN), (3.0, 5.0)], &[(1.0, 1e-9), (9.0, 1e9)]]
                .map(panel);
        draw(&path, "title", "about", &[panels[..2].to_vec(), panels.to_vec()]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("a panel") && !svg.contains("NaN"), "{svg}");
    }
}

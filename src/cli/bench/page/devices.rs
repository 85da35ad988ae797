//! What was measured on: names of devices, and their peaks.

use polysketch::bench::compare::Set;
use polysketch::bench::schema::Device;
use polysketch::bench::{Row, Suite};

use super::html::{Cell, Html, heading, table};
use crate::cli::output::digits3;

/// The device, with a mark for those that are no GPUs.
pub fn device(set: &Set, sets: &[Set]) -> Html {
    let Some(row) = set.rows.first() else { return Html::default() };
    let software = row.device.kind == "software";
    let name = if software { set.device.replacen(", software)", ")", 1) } else { set.device.clone() };
    let mut html = Html::text(&(name + &bus(set, sets)));
    if software {
        html.push(Html::element("span", &[("class", "tag")], Html::text("software adapter")));
    }
    html
}

/// Where a device is, if another one of its name is elsewhere.
pub fn bus(set: &Set, sets: &[Set]) -> String {
    let told = sets.iter().any(|other| other.device == set.device && other.bus != set.bus);
    if told && !set.bus.is_empty() { format!(" on bus {}", set.bus) } else { String::new() }
}

/// A short name of a run for legends: its build only where devices come twice, its number where the build
/// does too.
pub fn short(set: &Set, sets: &[Set]) -> String {
    let alike = |other: &&Set| other.device == set.device && other.bus == set.bus;
    let again = sets.iter().filter(alike).count() > 1;
    let same = sets.iter().filter(alike).filter(|other| other.build == set.build);
    let number = same.clone().count() > 1;
    let number = if number { same.take_while(|other| !std::ptr::eq(*other, set)).count() + 1 } else { 0 };
    let name: String = set.device.split(" (LLVM").next().unwrap_or(&set.device).to_string();
    let name = match set.rows.first().map(|row| &row.device) {
        Some(device) if name != set.device => {
            let number = device.number.map_or(String::new(), |number| format!(" #{number}"));
            format!("{name}{number} ({}, {})", device.backend, device.kind)
        }
        _ => name,
    };
    let name = name + &bus(set, sets);
    match (again, number) {
        (false, _) => name,
        (true, 0) => format!("{name}, {}", set.build),
        (true, number) => format!("{name}, {}, run {number}", set.build),
    }
}

/// Who made a device, and what is known of the chip: `NVIDIA hopper, 132 processors, subgroups of 32`.
fn vendor(device: &Device) -> String {
    let hardware = device.hardware.as_ref();
    let architecture = hardware.map(|h| h.architecture.as_str()).filter(|name| !name.is_empty());
    let name = match architecture {
        Some(architecture) => format!("{} {architecture}", device.maker().1),
        None if device.kind == "software" => "software".to_string(),
        None => device.maker().1.to_string(),
    };
    let processors = hardware.and_then(|h| h.processors).map(|count| format!("{count} processors"));
    let subgroups = device.limits.as_ref().and_then(|limits| limits.subgroup_size).map(|[least, most]| {
        if least == most {
            format!("subgroups of {least}")
        } else {
            format!("subgroups of {least} to {most}")
        }
    });
    [Some(name), processors, subgroups].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The section.
pub fn section(page: &mut Html, sets: &[Set]) {
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
                Cell::Html(device(set, sets)),
                Cell::Note(vendor(&row.device)),
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
        &["device", "vendor", "driver", "system", "build", "peak GFLOP/s", "matmul", "GB/s", "dispatch µs"],
        &rows,
    );
}

#[cfg(test)]
mod tests {
    use polysketch::bench::schema::{Build, Workload};

    use super::*;

    #[test]
    fn two_devices_of_one_name_have_two_names() {
        let row = |number: Option<usize>, bus: &str| {
            let name = "llvmpipe (LLVM 15.0.6, 256 bits)".into();
            let (backend, kind) = ("vulkan".into(), "software".into());
            let device = Device { name, backend, kind, number, bus: bus.into(), ..Device::new(None, None) };
            Row::new(Suite::Peaks, "fma", Workload::default(), &device, &Build::this())
        };
        for rows in
            [[row(Some(1), ""), row(Some(2), "")], [row(None, "0000:01:00.0"), row(None, "0000:02:00.0")]]
        {
            let sets = Set::split(rows.into());
            assert_eq!(sets.len(), 2);
            assert_ne!(short(&sets[0], &sets), short(&sets[1], &sets));
            let html = |set: &Set| device(set, &sets).page("BODY");
            assert_ne!(html(&sets[0]), html(&sets[1]));
        }
    }
}

//! `devices`: every adapter, what it can do, and which one is taken.

use pollster::block_on;
use polysketch::gpu::select::choose;
use polysketch::gpu::{AdapterReport, Hardware, enumerate};
use polysketch::kernels::Vendor;
use polysketch::kernels::cpu::threads;
use serde_json::json;

use super::failure::Outcome;
use super::options::Common;
use super::output::{self, Align, bytes, plural, print, print_json, table, wrap};
use super::progress::Progress;

const TAKEN: &str = "→";

/// Runs the command.
pub fn run(common: &Common) -> Outcome {
    let spinner = Progress::spinner(common, "looking for adapters");
    let reports: Vec<AdapterReport> =
        block_on(enumerate()).into_iter().map(|adapter| adapter.report).collect();
    drop(spinner);
    let taken = choose(&common.request(), &reports)?;
    if common.json {
        return print_json(&json!({
            "adapters": reports,
            "cpu": { "threads": threads() },
            "taken": taken.map_or(json!("cpu"), |i| json!(i)),
        }));
    }
    let columns = output::columns();
    // On a narrow terminal the driver moves below the name.
    let wide = columns.is_none_or(|columns| columns >= 96);
    let mut rows = vec![["", "#", "name", "backend", "type", "driver"].map(String::from).to_vec()];
    let mark = |yes: bool| if yes { TAKEN } else { "" }.to_string();
    for r in &reports {
        let driver = format!("{} {}", r.driver, r.driver_info);
        rows.push(vec![
            mark(taken == Some(r.index)),
            r.index.to_string(),
            r.number.map_or(r.name.clone(), |number| format!("{} #{number}", r.name)),
            r.backend.clone(),
            r.kind.to_string(),
            driver.trim().into(),
        ]);
    }
    rows.push(vec![
        mark(taken.is_none()),
        "-".into(),
        "the CPU itself".into(),
        "cpu".into(),
        plural(threads(), "thread"),
        "none needed".into(),
    ]);
    if !wide {
        rows.iter_mut().for_each(|row| row.truncate(5));
    }
    let align = [Align::Left, Align::Right, Align::Left, Align::Left, Align::Left, Align::Left];
    let mut text = String::new();
    for (i, line) in table(&align[..if wide { 6 } else { 5 }], 2, &rows, columns).into_iter().enumerate() {
        text += &(line + "\n");
        if let Some(report) = i.checked_sub(1).and_then(|i| reports.get(i)) {
            if !wide {
                wrap(&driver(report), 6, columns).into_iter().for_each(|line| text += &(line + "\n"));
            }
            wrap(&details(report, &reports), 6, columns).into_iter().for_each(|line| text += &(line + "\n"));
        }
    }
    let chosen = match taken {
        Some(i) => format!("adapter {i}, {}", reports[i].label()),
        None => "the CPU itself, which beats a software adapter".to_string(),
    };
    let asked = match (common.request().adapter, common.backend) {
        (Some(adapter), _) => format!("--adapter {adapter:?} takes {chosen}"),
        (None, backend) => format!(
            "--backend {backend} takes {}",
            if taken.is_none() && reports.is_empty() { "the CPU itself" } else { &chosen }
        ),
    };
    wrap(&format!("{TAKEN} {asked}"), 0, columns).into_iter().for_each(|line| text += &(line + "\n"));
    print(&text)
}

fn driver(r: &AdapterReport) -> String {
    format!("{} {}", r.driver, r.driver_info).trim().to_string()
}

/// Who made it, and what is known of the chip.
fn made_by(hardware: &Hardware) -> Vec<String> {
    if matches!(hardware.vendor, Vendor::Other | Vendor::Software) {
        return Vec::new();
    }
    let mut parts = vec![format!("{} {}", hardware.vendor, hardware.architecture).trim().to_string()];
    parts.extend(hardware.processors.map(|n| plural(n as usize, "processor")));
    parts.extend(hardware.registers.map(|n| format!("{} of registers each", bytes(u64::from(n) * 4))));
    parts
}

/// What matters of one adapter, or why it cannot be used.
fn details(r: &AdapterReport, all: &[AdapterReport]) -> String {
    if let Some(reason) = &r.unusable {
        return format!("cannot be used: {reason}");
    }
    let (l, f) = (&r.limits, &r.features);
    let mut parts = made_by(&r.hardware);
    if !r.bus.is_empty() {
        parts.push(format!("on bus {}", r.bus));
    }
    parts.extend([
        format!("bindings of {}", bytes(l.max_storage_buffer_binding_size)),
        format!("buffers of {}", bytes(l.max_buffer_size)),
        format!("workgroups of {}", l.max_compute_invocations_per_workgroup),
        format!("with {}", bytes(l.max_compute_workgroup_storage_size)),
    ]);
    match l.subgroup_size {
        Some([least, most]) if least == most => parts.push(format!("subgroups of {least}")),
        Some([least, most]) => parts.push(format!("subgroups of {least} to {most}")),
        None => parts.push("no subgroups".into()),
    }
    let has =
        [(f.shader_f16, "f16"), (f.timestamp_query, "timestamps"), (f.pipeline_cache, "pipeline cache")];
    parts
        .extend(has.into_iter().map(|(has, name)| if has { name.to_string() } else { format!("no {name}") }));
    parts.push(match f.cooperative {
        Some(n) => format!("mixed precision by cooperative matrices of {n}x{n}x{n}"),
        None => "no mixed precision".into(),
    });
    if let Some(twin) = r.duplicate_of.and_then(|i| all.get(i)) {
        parts.push(format!("the same device as {}", twin.index));
    }
    parts.join(", ").replace(", with ", " with ")
}

//! Short names of adapters for tests, and names near a misspelt one.

use super::slug;
use crate::gpu::AdapterReport;

/// A short name for each adapter, in their order: `lavapipe`, `swiftshader`, `nvidia_h100_pcie_vulkan`. Those
/// that would share one are numbered.
pub fn adapters(reports: &[&AdapterReport]) -> Vec<String> {
    let plain: Vec<String> = reports.iter().map(|report| adapter(report)).collect();
    let numbered = |(at, name): (usize, &String)| {
        let before = plain[..at].iter().filter(|other| *other == name).count();
        if before == 0 { name.clone() } else { format!("{name}_{}", before + 1) }
    };
    plain.iter().enumerate().map(numbered).collect()
}

fn adapter(report: &AdapterReport) -> String {
    let name = report.name.to_lowercase();
    match (report.backend.as_str(), name.as_str()) {
        ("vulkan", name) if name.contains("llvmpipe") => "lavapipe".to_string(),
        ("gl", name) if name.contains("llvmpipe") => "llvmpipe".to_string(),
        (_, name) if name.contains("swiftshader") => "swiftshader".to_string(),
        (_, name) if name.contains("basic render") => "warp".to_string(),
        (backend, name) => slug(&format!("{name} {backend}")),
    }
}

/// The names nearest to one that is not there, best first, three at most.
pub fn near<'a>(name: &str, names: &[&'a str]) -> Vec<&'a str> {
    let holds = |other: &str| other.contains(name) || name.contains(other);
    let score = |other: &&str| if holds(other) { 0 } else { distance(name, other) };
    let mut list: Vec<&str> = names.iter().filter(|n| score(n) <= name.len().max(4) / 2).copied().collect();
    list.sort_by_key(score);
    list.truncate(3);
    list
}

/// Letters to insert, leave out or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let best = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_of_one_name_are_told_apart() {
        let reports = [
            AdapterReport::named("llvmpipe (LLVM 15.0.6, 256 bits)", "vulkan"),
            AdapterReport::named("SwiftShader Device (Subzero)", "vulkan"),
            AdapterReport::named("llvmpipe (LLVM 15.0.6, 256 bits)", "gl"),
            AdapterReport::named("NVIDIA H100 80GB HBM3", "vulkan"),
            AdapterReport::named("NVIDIA H100 80GB HBM3", "vulkan"),
        ];
        let names = adapters(&reports.iter().collect::<Vec<_>>());
        let h100 = "nvidia_h100_80gb_hbm3_vulkan";
        assert_eq!(names, ["lavapipe", "swiftshader", "llvmpipe", h100, &format!("{h100}_2")]);
    }

    #[test]
    fn near_names() {
        let names = ["scan_output", "scan_states", "linear", "linear_grad_input", "activate"];
        assert_eq!(near("scan_ouptut", &names)[0], "scan_output");
        assert_eq!(near("lin", &names), ["linear", "linear_grad_input"]);
        assert!(near("transmogrify", &names).is_empty());
        assert_eq!((distance("kitten", "sitting"), distance("", "ab")), (3, 2));
    }
}

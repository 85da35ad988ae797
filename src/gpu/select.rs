//! Which adapter to take. The choice itself is made on plain data, so that it can be tested without
//! a GPU.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::adapter::{Adapter, AdapterKind, AdapterReport, enumerate};
use crate::error::{Error, ErrorKind, Result};

/// What to run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Backend {
    /// The best real GPU; without one the CPU executor, which beats a software GPU.
    #[default]
    Auto,
    /// A GPU, a software one if there is no other.
    Gpu,
    /// The CPU executor.
    Cpu,
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "auto" => Ok(Backend::Auto),
            "gpu" => Ok(Backend::Gpu),
            "cpu" => Ok(Backend::Cpu),
            _ => {
                Err(Error::new(ErrorKind::Input, format!("unknown backend '{s}'"))
                    .help("one of: auto, gpu, cpu"))
            }
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Backend::Auto => "auto",
            Backend::Gpu => "gpu",
            Backend::Cpu => "cpu",
        })
    }
}

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterRequest {
    /// GPU, CPU or whichever is better.
    pub backend: Backend,
    /// A number from the list of adapters; a PCI address; or, in any case, a name, a part of one, or words of
    /// name, backend or driver (`nvidia`, `llvmpipe gl`), with `#2` behind it for the second of those that
    /// are alike. It must mean one device.
    pub adapter: Option<String>,
}

/// What it came to.
#[derive(Clone, Debug)]
pub enum Choice {
    /// This adapter.
    Gpu(Box<Adapter>),
    /// The CPU executor.
    Cpu,
}

/// Finds what `request` asks for.
pub async fn select(request: &AdapterRequest) -> Result<Choice> {
    if request.backend == Backend::Cpu && request.adapter.is_none() {
        return Ok(Choice::Cpu);
    }
    let mut adapters = enumerate().await;
    let reports: Vec<AdapterReport> = adapters.iter().map(|a| a.report.clone()).collect();
    match choose(request, &reports)? {
        Some(index) => Ok(Choice::Gpu(Box::new(adapters.swap_remove(index)))),
        None => Ok(Choice::Cpu),
    }
}

/// The place of the adapter to take in `reports` (best first); `None` is the CPU executor.
pub fn choose(request: &AdapterRequest, reports: &[AdapterReport]) -> Result<Option<usize>> {
    let asked = match (&request.adapter, request.backend) {
        (Some(asked), Backend::Cpu) => {
            return Err(Error::new(
                ErrorKind::Input,
                format!("adapter '{asked}' was asked for together with the CPU backend"),
            )
            .help("give either --backend cpu or --adapter"));
        }
        (None, Backend::Cpu) => return Ok(None),
        (Some(asked), _) => asked,
        (None, backend) => {
            let best = reports.iter().position(|r| r.unusable.is_none());
            return match (best, backend) {
                (Some(best), Backend::Gpu) => Ok(Some(best)),
                (Some(best), _) if reports[best].kind != AdapterKind::Software => Ok(Some(best)),
                (None, Backend::Gpu) => Err(no_gpu(reports)),
                _ => Ok(None),
            };
        }
    };
    let matching = matching(asked, reports);
    if matching.is_empty() {
        return Err(Error::new(
            ErrorKind::Adapter,
            format!("no adapter matches '{asked}'; {}", found(reports)),
        )
        .help("give the number or a part of the name of one of them, or use --backend cpu"));
    }
    let usable: Vec<usize> = matching.iter().copied().filter(|&i| reports[i].unusable.is_none()).collect();
    // One device behind several APIs is one: the best of them is taken.
    let others = |&i: &usize| reports[i].duplicate_of.is_none_or(|best| !usable.contains(&best));
    let devices: Vec<usize> = usable.iter().copied().filter(others).collect();
    match devices[..] {
        [index] => Ok(Some(index)),
        [_, _, ..] => {
            let list: Vec<String> = devices.iter().map(|&i| listed(&reports[i])).collect();
            Err(Error::new(
                ErrorKind::Adapter,
                format!("'{asked}' may be {} adapters: {}", list.len(), list.join(", ")),
            )
            .help("give the number of one of them"))
        }
        [] => {
            let report = &reports[matching[0]];
            let reason = report.unusable.as_deref().unwrap_or_default();
            Err(Error::new(
                ErrorKind::Adapter,
                format!("adapter {} cannot be used: {reason}", report.label()),
            )
            .help("update its driver, take another adapter, or use --backend cpu"))
        }
    }
}

/// Adapters that `asked` may mean, best first: a number of the list, else a PCI address, else a whole name,
/// else a part of one, else words that all occur somewhere in name, backend, kind and driver.
fn matching(asked: &str, reports: &[AdapterReport]) -> Vec<usize> {
    let asked = asked.trim().to_lowercase();
    if let Some(index) = asked.parse::<usize>().ok().filter(|i| *i < reports.len()) {
        return vec![index];
    }
    let places = |keep: &dyn Fn(&AdapterReport) -> bool| {
        (0..reports.len()).filter(|&i| keep(&reports[i])).collect::<Vec<_>>()
    };
    if asked.is_empty() {
        return Vec::new();
    }
    let on_bus = places(&|r| !r.bus.is_empty() && r.bus.to_lowercase() == asked);
    if !on_bus.is_empty() {
        return on_bus;
    }
    let whole = by_words(&asked, reports);
    let numbered =
        asked.rsplit_once('#').and_then(|(words, n)| Some((words.trim(), n.parse::<usize>().ok()?)));
    match numbered {
        // A name may hold such a mark itself.
        Some((words, number)) if whole.is_empty() => {
            let of = |i: &usize| reports[*i].number.unwrap_or(1) == number;
            by_words(words, reports).into_iter().filter(of).collect()
        }
        _ => whole,
    }
}

fn by_words(asked: &str, reports: &[AdapterReport]) -> Vec<usize> {
    let places = |keep: &dyn Fn(&AdapterReport) -> bool| {
        (0..reports.len()).filter(|&i| keep(&reports[i])).collect::<Vec<_>>()
    };
    if asked.is_empty() {
        return Vec::new();
    }
    for named in [
        places(&|r| r.name.to_lowercase() == asked || r.label().to_lowercase() == asked),
        places(&|r| r.name.to_lowercase().contains(asked)),
    ] {
        if !named.is_empty() {
            return named;
        }
    }
    places(&|r| {
        let text =
            format!("{} {} {} {} {}", r.name, r.backend, r.kind, r.driver, r.driver_info).to_lowercase();
        asked.split_whitespace().all(|word| {
            if word.len() <= 2 { text.split_whitespace().any(|t| t == word) } else { text.contains(word) }
        })
    })
}

fn found(reports: &[AdapterReport]) -> String {
    if reports.is_empty() {
        return "none was found".to_string();
    }
    format!("found {}", reports.iter().map(listed).collect::<Vec<_>>().join(", "))
}

/// `0: name (backend)`, with the bus where the name alone does not tell.
fn listed(report: &AdapterReport) -> String {
    let bus = if report.number.is_some() && !report.bus.is_empty() {
        format!(" on bus {}", report.bus)
    } else {
        String::new()
    };
    format!("{}: {}{bus}", report.index, report.label())
}

fn no_gpu(reports: &[AdapterReport]) -> Error {
    let message = match reports.first() {
        None => "no GPU was found".to_string(),
        Some(r) => {
            format!("no GPU can be used: {}: {}", r.label(), r.unusable.as_deref().unwrap_or_default())
        }
    };
    let help = if cfg!(target_arch = "wasm32") {
        "use a browser with WebGPU, or backend \"cpu\""
    } else {
        "install a Vulkan driver (Mesa: mesa-vulkan-drivers), or use --backend cpu"
    };
    Error::new(ErrorKind::Adapter, message).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::adapter::{AdapterFeatures, order};

    fn report(name: &str, backend: &str, kind: AdapterKind, vendor: u32, device: u32) -> AdapterReport {
        let info = wgpu::AdapterInfo::new(wgpu::DeviceType::Other, wgpu::Backend::Vulkan);
        let mut report = AdapterReport::new(&info, &wgpu::Limits::defaults(), wgpu::Features::empty(), None);
        report.name = name.into();
        report.backend = backend.into();
        (report.kind, report.vendor, report.device) = (kind, vendor, device);
        report.features = AdapterFeatures::default();
        report
    }

    fn laptop() -> Vec<AdapterReport> {
        let mut all = vec![
            report("llvmpipe (LLVM 15.0.6, 256 bits)", "gl", AdapterKind::Software, 0x10005, 0),
            report("NVIDIA GeForce RTX 4060/PCIe/SSE2", "gl", AdapterKind::Other, 0x10de, 0),
            report("SwiftShader Device (Subzero)", "vulkan", AdapterKind::Software, 0x1ae0, 0xc0de),
            report("llvmpipe (LLVM 15.0.6, 256 bits)", "vulkan", AdapterKind::Software, 0x10005, 0),
            report("Intel(R) Iris(R) Xe Graphics", "vulkan", AdapterKind::Integrated, 0x8086, 0x9a49),
            report("NVIDIA GeForce RTX 4060", "vulkan", AdapterKind::Discrete, 0x10de, 0x28e0),
        ];
        order(&mut all);
        all
    }

    fn pick(backend: Backend, adapter: Option<&str>, reports: &[AdapterReport]) -> Result<Option<String>> {
        let request = AdapterRequest { backend, adapter: adapter.map(str::to_string) };
        Ok(choose(&request, reports)?.map(|i| reports[i].label()))
    }

    #[test]
    fn best_first_and_native_apis_before_gl() {
        let names: Vec<String> =
            laptop().iter().map(|r| format!("{} {} {:?}", r.index, r.label(), r.duplicate_of)).collect();
        assert_eq!(
            names,
            [
                "0 NVIDIA GeForce RTX 4060 (vulkan) None",
                "1 NVIDIA GeForce RTX 4060/PCIe/SSE2 (gl) Some(0)",
                "2 Intel(R) Iris(R) Xe Graphics (vulkan) None",
                "3 llvmpipe (LLVM 15.0.6, 256 bits) (vulkan) None",
                "4 SwiftShader Device (Subzero) (vulkan) None",
                "5 llvmpipe (LLVM 15.0.6, 256 bits) (gl) Some(3)",
            ]
        );
    }

    #[test]
    fn auto_takes_a_real_gpu_or_the_cpu() {
        let all = laptop();
        assert_eq!(pick(Backend::Auto, None, &all).unwrap().unwrap(), "NVIDIA GeForce RTX 4060 (vulkan)");
        let mut software = all[3..].to_vec();
        order(&mut software);
        assert_eq!(pick(Backend::Auto, None, &software).unwrap(), None);
        assert_eq!(
            pick(Backend::Gpu, None, &software).unwrap().unwrap(),
            "llvmpipe (LLVM 15.0.6, 256 bits) (vulkan)"
        );
        assert_eq!(
            pick(Backend::Auto, Some("swift"), &software).unwrap().unwrap(),
            "SwiftShader Device (Subzero) (vulkan)"
        );
        assert_eq!(pick(Backend::Auto, None, &[]).unwrap(), None);
        assert_eq!(pick(Backend::Cpu, None, &all).unwrap(), None);
    }

    #[test]
    fn an_adapter_by_number_or_words() {
        let all = laptop();
        assert_eq!(
            pick(Backend::Auto, Some("2"), &all).unwrap().unwrap(),
            "Intel(R) Iris(R) Xe Graphics (vulkan)"
        );
        assert_eq!(
            pick(Backend::Auto, Some("IRIS"), &all).unwrap().unwrap(),
            "Intel(R) Iris(R) Xe Graphics (vulkan)"
        );
        assert_eq!(
            pick(Backend::Gpu, Some("llvmpipe GL"), &all).unwrap().unwrap(),
            "llvmpipe (LLVM 15.0.6, 256 bits) (gl)"
        );
        assert_eq!(
            pick(Backend::Gpu, Some("4060"), &all).unwrap().unwrap(),
            "NVIDIA GeForce RTX 4060 (vulkan)"
        );
    }

    #[test]
    fn two_of_one_name_are_two() {
        let mut all = laptop();
        let mut second = report("NVIDIA GeForce RTX 4060", "vulkan", AdapterKind::Discrete, 0x10de, 0x28e0);
        second.bus = "0000:0a:00.0".into();
        all[0].bus = "0000:01:00.0".into();
        all.insert(0, second);
        all.push(report("NVIDIA GeForce RTX 4060 Ti", "vulkan", AdapterKind::Discrete, 0x10de, 0x2803));
        order(&mut all);
        let labels: Vec<String> = all.iter().map(|r| format!("{} {}", r.label(), r.bus)).collect();
        assert_eq!(
            labels[..3],
            [
                "NVIDIA GeForce RTX 4060 #2 (vulkan) 0000:0a:00.0",
                "NVIDIA GeForce RTX 4060 #1 (vulkan) 0000:01:00.0",
                "NVIDIA GeForce RTX 4060 Ti (vulkan) ",
            ]
        );
        let bus = |asked: &str| {
            let request = AdapterRequest { backend: Backend::Gpu, adapter: Some(asked.into()) };
            choose(&request, &all).map(|i| all[i.unwrap()].bus.clone())
        };
        for asked in ["0", "0000:0A:00.0", "nvidia geforce rtx 4060#2", "NVIDIA GeForce RTX 4060 #2 (vulkan)"]
        {
            assert_eq!(bus(asked).unwrap(), "0000:0a:00.0", "{asked}");
        }
        let error = bus("NVIDIA GeForce RTX 4060").unwrap_err();
        for word in ["2 adapters", "1: NVIDIA GeForce RTX 4060 #1 (vulkan) on bus 0000:01:00.0", "0: NVIDIA"]
        {
            assert!(error.message().contains(word), "{word}: {error}");
        }
        assert_eq!(error.kind(), ErrorKind::Adapter);
        // One device behind two APIs is one.
        assert_eq!(pick(Backend::Auto, Some("llvmpipe"), &all).unwrap().unwrap(), all[5].label());
        assert!(bus("0000:0b:00.0").is_err() && bus("rtx 4060 #3").is_err());
    }

    #[test]
    fn errors_name_what_was_asked_and_what_there_is() {
        let all = laptop();
        let error = pick(Backend::Auto, Some("radeon"), &all).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Adapter);
        assert!(
            error.message().contains("'radeon'")
                && error.message().contains("0: NVIDIA GeForce RTX 4060 (vulkan)"),
            "{error}"
        );
        assert!(error.advice().is_some());
        assert_eq!(pick(Backend::Gpu, None, &[]).unwrap_err().kind(), ErrorKind::Adapter);
        assert_eq!(pick(Backend::Cpu, Some("0"), &all).unwrap_err().kind(), ErrorKind::Input);
        let mut broken = all[..1].to_vec();
        broken[0].unusable = Some("max_buffer_size is 5, 6 is needed".into());
        let error = pick(Backend::Auto, Some("0"), &broken).unwrap_err();
        assert!(error.message().contains("max_buffer_size"), "{error}");
        assert_eq!(pick(Backend::Auto, None, &broken).unwrap(), None);
    }
}

//! Every kernel's shader against its CPU twin in f64, step by step in small plans of awkward sizes: in the
//! variants of the adapter, and in those that a real GPU with WebGPU's default limits gets.

use std::sync::{Arc, Mutex, OnceLock};

use polysketch::check::{self, Case, Check, Finding, Record, attention_cases, kernels};
use polysketch::kernels::DeviceTraits;

use crate::places::{Place, Tests};

/// A case that several tests use, recorded by the first of them.
struct Shared {
    case: Mutex<Option<Case>>,
    record: OnceLock<Record>,
}

impl Shared {
    fn new(case: Case) -> Arc<Self> {
        Arc::new(Self { case: Mutex::new(Some(case)), record: OnceLock::new() })
    }

    fn record(&self) -> &Record {
        self.record.get_or_init(|| {
            let case = self.case.lock().unwrap().take();
            Record::new(case.expect("a case is recorded once")).unwrap()
        })
    }
}

/// Fails with what is wrong.
fn judge(findings: &[Finding]) {
    let wrong: Vec<&Finding> = findings.iter().filter(|finding| finding.wrong()).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} steps: {:#?}",
        wrong.len(),
        findings.len(),
        &wrong[..wrong.len().min(4)]
    );
}

fn compare(place: &Place, shared: &Shared, kernel: Option<&str>, devices: &[DeviceTraits]) {
    let check = Check { executor: place.executor(), devices, kernel, variant: None, time: false };
    judge(&check.run(shared.record()).unwrap());
}

pub fn add(tests: &mut Tests) {
    let adapters = tests.adapters();
    let (cpu, all) = (tests.places[0].clone(), check::cases().unwrap());
    for case in all {
        let (name, core, of) = (case.name.clone(), case.core, kernels(&case).unwrap());
        let shared = Shared::new(case);
        if core {
            // The engine on a machine without a GPU: the same twins in f32.
            let (cpu, shared) = (cpu.clone(), shared.clone());
            tests.add("cpu", "kernels", &name, move || {
                compare(&cpu, &shared, None, &[DeviceTraits::cpu()]);
            });
        }
        for place in adapters.iter().filter(|place| core || !place.is_slow()) {
            for kernel in &of {
                let (shared, kernel) = (shared.clone(), *kernel);
                tests.on(place, kernel, &name, move |place| {
                    let devices = [place.executor().traits(), DeviceTraits::floor()];
                    compare(place, &shared, Some(kernel), &devices);
                });
            }
        }
    }
    // Where loops may not be long, gradients go on in further dispatches.
    for case in attention_cases::long_loops().unwrap() {
        let name = case.name.clone();
        let shared = Shared::new(case);
        tests.each(Place::is_gpu, "long_loops", &name, move |place| {
            // A round of every loop a dispatch.
            let device = DeviceTraits { loop_iterations: Some(4096), ..place.executor().traits() };
            compare(place, &shared, None, &[device]);
        });
    }
}

//! Where tests run, by name, and the list of tests.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use libtest_mimic::Trial;
use pollster::block_on;
use polysketch::check::names;
use polysketch::exec::{CpuExecutor, Executor, GpuExecutor};
use polysketch::gpu::{self, Adapter, AdapterKind, GpuContext, Needs};
use polysketch::model::{Engine, LoadOptions, Model, ModelSource};

/// Where a test runs.
#[derive(Debug)]
pub struct Place {
    /// `cpu`, `oracle`, or a short name of an adapter.
    pub name: String,
    kind: Kind,
    shared: OnceLock<Executor>,
    weak: OnceLock<Executor>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a handful of places")]
enum Kind {
    Cpu,
    Oracle,
    Adapter(Adapter),
}

impl Place {
    fn new(name: &str, kind: Kind) -> Arc<Self> {
        Arc::new(Self { name: name.to_string(), kind, shared: OnceLock::new(), weak: OnceLock::new() })
    }

    /// The adapter, if it is one.
    pub fn adapter(&self) -> Option<&Adapter> {
        if let Kind::Adapter(adapter) = &self.kind { Some(adapter) } else { None }
    }

    /// Whether it is an adapter.
    pub fn is_gpu(&self) -> bool {
        self.adapter().is_some()
    }

    /// Whether it is the CPU in f64.
    pub fn is_oracle(&self) -> bool {
        matches!(self.kind, Kind::Oracle)
    }

    /// Whether much work would take it minutes.
    pub fn is_slow(&self) -> bool {
        self.adapter().is_some_and(|adapter| adapter.report.kind == AdapterKind::Software)
    }

    /// An executor with a device of its own.
    pub fn fresh(&self, needs: Needs) -> Executor {
        match &self.kind {
            Kind::Cpu => Executor::Cpu(CpuExecutor::default()),
            Kind::Oracle => Executor::Oracle(CpuExecutor::default()),
            Kind::Adapter(adapter) => {
                let context = block_on(GpuContext::create(adapter, needs)).unwrap();
                Executor::Gpu(block_on(GpuExecutor::new(context)))
            }
        }
    }

    /// The executor that tests share.
    pub fn executor(&self) -> &Executor {
        self.shared.get_or_init(|| self.fresh(Needs::default()))
    }

    /// The same on a device with no more than the floor of SPEC §6.
    pub fn weak(&self) -> &Executor {
        self.weak.get_or_init(|| self.fresh(Needs { weak: true, ..Needs::default() }))
    }

    /// An engine on the shared executor.
    pub fn engine(&self) -> Engine {
        Engine::on(self.executor().clone())
    }
}

/// The tests so far, and where they run.
pub struct Tests {
    pub list: Vec<Trial>,
    pub places: Vec<Arc<Place>>,
}

impl Tests {
    /// No tests yet; on the CPU, the oracle, and every usable adapter.
    pub fn new() -> Self {
        let mut places = vec![Place::new("cpu", Kind::Cpu), Place::new("oracle", Kind::Oracle)];
        let adapters: Vec<Adapter> = block_on(gpu::enumerate());
        for adapter in adapters.iter().filter(|adapter| adapter.report.usable().is_err()) {
            eprintln!("left out: {}: {:?}", adapter.report.label(), adapter.report.unusable);
        }
        let usable: Vec<Adapter> = adapters.into_iter().filter(|a| a.report.usable().is_ok()).collect();
        let names = names::adapters(&usable.iter().map(|a| &a.report).collect::<Vec<_>>());
        for (adapter, name) in usable.into_iter().zip(&names) {
            places.push(Place::new(name, Kind::Adapter(adapter)));
        }
        Self { list: Vec::new(), places }
    }

    /// A test of one place, or of all of them together (`all`, `cpu`).
    pub fn add(&mut self, place: &str, suite: &str, case: &str, test: impl FnOnce() + Send + 'static) {
        let run = move || {
            test();
            Ok(())
        };
        self.list.push(Trial::test(format!("{place}::{suite}::{case}"), run));
    }

    /// A test of every place that `on` lets pass.
    pub fn each(
        &mut self,
        on: impl Fn(&Place) -> bool,
        suite: &str,
        case: &str,
        test: impl Fn(&Place) + Clone + Send + 'static,
    ) {
        for place in self.places.clone().into_iter().filter(|place| on(place)) {
            let test = test.clone();
            self.add(&place.name.clone(), suite, case, move || test(&place));
        }
    }

    /// The places that are adapters.
    pub fn adapters(&self) -> Vec<Arc<Place>> {
        self.places.iter().filter(|place| place.is_gpu()).cloned().collect()
    }
}

/// Loads a model on an executor.
pub fn load(executor: &Executor, source: ModelSource, options: LoadOptions) -> Model {
    block_on(Engine::on(executor.clone()).load(source, &options, &mut |_, _| {})).unwrap()
}

/// The folder of golden models.
pub fn golden_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Largest difference over the largest magnitude of the reference; infinite where a result is no number.
pub fn max_error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let error = polysketch::check::golden::largest(got, want);
    if error.is_nan() { f64::INFINITY } else { error }
}

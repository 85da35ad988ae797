//! Where tests run, by name, and the list of tests.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

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
    turn: Mutex<()>,
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
        let (shared, weak) = Default::default();
        Arc::new(Self { name: name.to_string(), kind, shared, weak, turn: Mutex::new(()) })
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

    /// Keeps other tests from the adapter: OpenGL has one context for all devices, and a thread that waits a
    /// second for it gives up.
    pub fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.is_gpu().then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner))
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
    list: Vec<(String, Trial)>,
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

    /// A test of no adapter, or of all of them together (`all`, `cpu`, `oracle`).
    pub fn add(&mut self, place: &str, suite: &str, case: &str, test: impl FnOnce() + Send + 'static) {
        let run = move || {
            test();
            Ok(())
        };
        self.list.push((place.to_string(), Trial::test(format!("{place}::{suite}::{case}"), run)));
    }

    /// A test of one place, which has it to itself.
    pub fn on(
        &mut self,
        place: &Arc<Place>,
        suite: &str,
        case: &str,
        test: impl FnOnce(&Place) + Send + 'static,
    ) {
        let of = place.clone();
        self.add(&place.name, suite, case, move || {
            let _turn = of.turn();
            test(&of);
        });
    }

    /// The tests, those of each place spread over the whole time: threads then work on different adapters.
    pub fn into_list(self) -> Vec<Trial> {
        let count = |place: &str| self.list.iter().filter(|(of, _)| of == place).count();
        let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
        for (place, _) in &self.list {
            counts.entry(place.clone()).or_insert_with(|| (0, count(place)));
        }
        let key = |(place, trial): (String, Trial)| {
            let (done, of) = counts.get_mut(&place).expect("counted");
            *done += 1;
            (*done as f64 / *of as f64, trial)
        };
        let mut list: Vec<(f64, Trial)> = self.list.into_iter().map(key).collect();
        list.sort_by(|a, b| a.0.total_cmp(&b.0));
        list.into_iter().map(|(_, trial)| trial).collect()
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
            self.on(&place, suite, case, test.clone());
        }
    }

    /// Ignores the tests of a suite: what they need is missing.
    pub fn ignore(&mut self, suite: &str) {
        let of = format!("::{suite}::");
        let list = std::mem::take(&mut self.list).into_iter();
        self.list = list
            .map(|(place, trial)| {
                let ignored = trial.name().contains(&of);
                (place, trial.with_ignored_flag(ignored))
            })
            .collect();
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

/// The folder of golden models of public families.
pub fn public_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/public")
}

/// Largest difference over the largest magnitude of the reference; infinite where a result is no number.
pub fn max_error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let error = polysketch::check::golden::largest(got, want);
    if error.is_nan() { f64::INFINITY } else { error }
}

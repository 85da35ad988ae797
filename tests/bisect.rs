//! The switch that finds the first wrong step: it finds none in a sound plan, and the one that is broken on
//! purpose.

mod common;

use std::any::Any;
use std::sync::Arc;

use common::scene::{Scene, gpu};
use common::{golden, gpu_executors};
use polysketch::Result;
use polysketch::attention::Mode;
use polysketch::kernels::{Args, DeviceTraits, Dispatch, Kernel, Variant, View};
use polysketch::model::transformer::Ending;
use polysketch::tensor::{Call, Capacity, DType, TensorType};

/// f32 against f32: sums in another order.
const SMALL: f64 = 2e-5;

fn scene() -> Scene {
    Scene::new(&golden("default-gated").0, Mode::Prefill, Ending::All, DType::F32, &[21, 16], 19)
}

#[test]
fn a_sound_plan_has_no_wrong_step() {
    for (name, executor) in gpu_executors() {
        let differences = scene().bisect(gpu(&executor), &executor.traits());
        assert!(differences.len() > 20, "{name}: {} compared", differences.len());
        let wrong: Vec<_> =
            differences.iter().filter(|d| d.relative.is_nan() || d.relative > SMALL).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

/// A kernel of the caller's own: another kernel, whose twin is a little wrong in one number.
#[derive(Debug)]
struct Broken(Arc<dyn Kernel>);

impl Kernel for Broken {
    fn stem(&self) -> &'static str {
        self.0.stem()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.0.infer(inputs)
    }
    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        self.0.variant(device, capacity)
    }
    fn runs(&self, call: &Call) -> bool {
        self.0.runs(call)
    }
    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        self.0.dispatches(variant, call)
    }
    fn twin_f32(&self, args: &mut Args<'_, f32>, call: &Call) {
        let out = args.views.len() - 1;
        let written = args.real_mut(out);
        let mut views: Vec<View<'_, f32>> = std::mem::take(&mut args.views);
        views[out] = View::RealMut(&mut *written);
        self.0.twin_f32(&mut Args { views, permutation: args.permutation }, call);
        let largest = written.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        written[3] += 0.01 * largest;
    }
    fn twin_f64(&self, args: &mut Args<'_, f64>, call: &Call) {
        self.0.twin_f64(args, call);
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[test]
fn the_first_wrong_step_is_found_and_only_it() {
    let Some((name, executor)) = gpu_executors().into_iter().next() else {
        println!("skipped: no adapter");
        return;
    };
    for label in ["layers.0.attention.output", "layers.1.attention.states", "layers.1.down.out"] {
        let mut scene = scene();
        let node = scene.graph.nodes.iter_mut().find(|n| n.label == label).unwrap();
        node.kernel = Arc::new(Broken(node.kernel.clone()));
        let differences = scene.bisect(gpu(&executor), &executor.traits());
        let wrong: Vec<&str> =
            differences.iter().filter(|d| d.relative > SMALL).map(|d| d.label.as_str()).collect();
        assert!(wrong.len() == 1 && wrong[0].starts_with(label), "{name}: broke {label}, found {wrong:?}");
    }
}

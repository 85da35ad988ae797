//! The search for a wrong step: it finds the one that is broken on purpose, and only it.

use std::sync::Arc;

use polysketch::attention::Mode;
use polysketch::check::model_cases::Scene;
use polysketch::check::{Case, Check, OtherTwin, Record};
use polysketch::kernels::{Kernel, View, Views};
use polysketch::model::ModelSource;
use polysketch::model::transformer::Ending;
use polysketch::tensor::{Call, DType};

use crate::places::{Place, Tests, golden_folder};

fn case() -> Case {
    let source = || ModelSource::open(&golden_folder().join("default-gated"));
    let scene = Scene::new(Mode::Prefill, Ending::All, DType::F32, &[21, 16], 19);
    scene.case("default gated", &source().unwrap().config, Arc::new(source)).unwrap()
}

/// The twin of a kernel, a little wrong in one number.
fn broken(kernel: &dyn Kernel, args: &mut Views<'_, f64>, call: &Call) {
    let out = args.views.len() - 1;
    let written = args.real_mut(out);
    let mut views: Vec<View<'_, f64>> = std::mem::take(&mut args.views);
    views[out] = View::RealMut(&mut *written);
    kernel.twin_f64(&mut Views { views, permutation: args.permutation }, call);
    let largest = written.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    written[3] += 0.01 * largest;
}

fn wrong_steps(place: &Place, case: Case) -> (usize, Vec<String>) {
    let devices = [place.executor().traits()];
    let check =
        Check { executor: place.executor(), devices: &devices, kernel: None, variant: None, time: false };
    let findings = check.run(&Record::new(case).unwrap()).unwrap();
    (findings.len(), findings.iter().filter(|f| f.wrong()).map(|f| f.step.clone()).collect())
}

pub fn add(tests: &mut Tests) {
    let on = |place: &Place| !place.is_oracle();
    tests.each(on, "steps", "a_sound_plan_has_no_wrong_one", |place| {
        let (steps, wrong) = wrong_steps(place, case());
        assert!(steps > 12, "{steps} compared");
        assert!(wrong.is_empty(), "{wrong:?}");
    });
    for label in ["layers.0.attention.output", "layers.0.attention.states", "layers.0.down.out"] {
        let name = format!("a_wrong_{}_is_found", label.rsplit('.').next().unwrap());
        tests.each(on, "steps", &name, move |place| {
            let mut case = case();
            let node = case.graph.nodes.iter_mut().find(|n| n.label == label).unwrap();
            node.kernel = Arc::new(OtherTwin { kernel: node.kernel.clone(), twin_f64: broken });
            let (_, wrong) = wrong_steps(place, case);
            assert_eq!(wrong, [label]);
        });
    }
}

//! Attention with a full mask, by the CPU twins: against the sum over all keys, written out. (Its shaders
//! are held against the twins in `kernels.rs`.)

use pollster::block_on;
use polysketch::check::attention_cases::{FULL_MASK, full_mask_case, full_mask_models};
use polysketch::check::case::Data;
use polysketch::check::models::RandomModel;
use polysketch::exec::{Executor, Memory, Program, Submission};
use polysketch::graph::Role;
use polysketch::kernels::DeviceTraits;
use polysketch::model::transformer;

use crate::dense::Dense;
use crate::places::{Place, Tests, max_error};

/// f32 against f64: sums in another order.
const SMALL: f64 = 2e-5;

/// The sum over all keys, written out.
fn wanted(model: &RandomModel, qkv: &[u32]) -> Vec<f64> {
    let l = transformer::attention(&model.parsed()).layout;
    let (lanes, tokens) = FULL_MASK;
    let dense = Dense::new(model);
    let mut want = vec![0.0; lanes * tokens * l.heads * l.head];
    for (lane, head) in (0..lanes).flat_map(|lane| (0..l.heads).map(move |head| (lane, head))) {
        let part = |part: usize| -> Vec<Vec<f64>> {
            let at = |t: usize| (lane * tokens + t) * l.qkv_width() + (part * l.heads + head) * l.head;
            let row = |t| qkv[at(t)..at(t) + l.head].iter().map(|x| f64::from(f32::from_bits(*x))).collect();
            (0..tokens).map(row).collect()
        };
        let o = dense.mix("model.layers.0.self_attn", part(0), part(1), &part(2), &[], 0, false);
        for (t, o) in o.iter().enumerate() {
            let at = ((lane * tokens + t) * l.heads + head) * l.head;
            want[at..at + l.head].copy_from_slice(o);
        }
    }
    want
}

fn equals_the_sum_over_all_keys(executor: &Executor, model: &RandomModel) {
    let case = full_mask_case(model).unwrap().unwrap();
    let data: Data = case.data().unwrap();
    let want = wanted(model, &data["qkv"]);
    let plan = case.plan(&DeviceTraits::cpu()).unwrap();
    let memory = Memory::new(executor);
    let read = block_on(async {
        for t in plan.tensors.iter().filter(|t| t.bytes > 0 && t.tensor.role == Role::Parameter) {
            memory.store(&t.tensor.name, t.tensor.ty.dtype, &data[&t.tensor.name]).await.unwrap();
        }
        let mut program = Program::new(plan, &memory).await.unwrap();
        let inputs = [(program.tensor("qkv").unwrap(), &data["qkv"][..])];
        let reads = [(program.tensor("o").unwrap(), want.len())];
        let calls = std::slice::from_ref(&case.call);
        program.run(Submission { calls, inputs: &inputs, reads: &reads }).await.unwrap().swap_remove(0)
    });
    let got: Vec<f32> = read.into_iter().map(f32::from_bits).collect();
    let error = max_error(&got, &want);
    assert!(error <= SMALL, "{error:.1e}");
}

pub fn add(tests: &mut Tests) {
    let models = full_mask_models();
    // A kind each, and sketches.
    assert!(models.len() > 6, "{}", models.len());
    for model in models {
        let name = polysketch::check::slug(&model.name);
        let on = |place: &Place| !place.is_gpu();
        tests.each(on, "full_mask", &name, move |place| {
            equals_the_sum_over_all_keys(place.executor(), &model);
        });
    }
}

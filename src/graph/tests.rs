//! What the builder refuses, one line each, and what a backward pass hands out.

use super::*;
use crate::kernels::cpu::Norm;
use crate::kernels::linear::linear::{Addend, Linear};
use crate::kernels::rows::activate::Activate;
use crate::kernels::rows::add::Add;
use crate::kernels::rows::clear::Clear;
use crate::kernels::rows::nll::Nll;
use crate::kernels::rows::norm::Normalize;
use crate::kernels::{Asked, DeviceTraits};
use crate::shape;
use crate::tensor::{Capacity, DType, Unit};

const CAPACITY: Capacity = Capacity { lanes: 1, tokens: 3, slots: 1, context: 0 };

fn rows(width: usize) -> TensorType {
    TensorType::f32(shape![Unit::Rows, width])
}

fn add(in_place: bool) -> Add {
    Add { ty: rows(4), in_place }
}

fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Shape);
    error.message().to_string()
}

fn lowered(g: &Graph) -> Result<Plan> {
    g.lower("test", &DeviceTraits::cpu(), CAPACITY)
}

#[test]
fn one_name_is_one_tensor() {
    let mut g = Graph::new();
    let x = g.input("x", rows(4));
    assert_eq!(g.input("x", rows(4)), x);
    assert!(lowered(&g).is_ok());
    type Clash<'a> = (&'a dyn Fn(&mut Graph), &'a str);
    let clashes: [Clash<'_>; 5] = [
        (
            &|g| _ = g.input("x", rows(5)),
            "two tensors are named x: an input f32[rows, 4] and an input f32[rows, 5]",
        ),
        (
            &|g| _ = g.state("x", Purpose::Ring, rows(4)),
            "two tensors are named x: an input f32[rows, 4] and a Ring state f32[rows, 4]",
        ),
        (
            &|g| {
                g.state("s", Purpose::Ring, rows(4));
                g.state("s", Purpose::Scan, rows(4));
            },
            "two tensors are named s: a Ring state f32[rows, 4] and a Scan state f32[rows, 4]",
        ),
        (
            &|g| {
                g.constant_f32("c", shape![1], &[1.0]);
                g.constant_f32("c", shape![1], &[2.0]);
            },
            "two tensors are named c: a constant f32[1] and a constant f32[1] of its own",
        ),
        (
            &|g| {
                let y = g.apply1("y", add(false), &[x, x]).unwrap();
                g.output(y, "x");
            },
            "two tensors are named x: an input f32[rows, 4] and an output f32[rows, 4]",
        ),
    ];
    for (clash, line) in clashes {
        let mut g = g.clone();
        clash(&mut g);
        assert_eq!(refusal(lowered(&g)), line);
        // The next operation tells it already.
        assert_eq!(refusal(g.apply1("y", add(false), &[x, x])), line);
    }
}

#[test]
fn a_tensor_has_one_role() {
    let mut g = Graph::new();
    let x = g.input("x", rows(4));
    g.output(x, "y");
    assert_eq!(refusal(lowered(&g)), "x is an input and cannot be an output y too");
}

#[test]
fn operations_write_only_what_is_theirs() {
    let mut g = Graph::new();
    let x = g.input("x", rows(4));
    let w = g.parameter("w", DType::F32, shape![Unit::Rows, 4]);
    let s = g.state("s", Purpose::Exposed, rows(4));
    let y = g.apply1("y", add(false), &[x, w]).unwrap();
    let mut write = |id| g.apply("sum", add(true), &[y], &[id]);
    assert!(write(s).is_ok());
    assert_eq!(refusal(write(x)), "sum writes x, which is an input");
    assert_eq!(refusal(write(w)), "sum writes w, which is a parameter");
    assert_eq!(refusal(write(y)), "sum reads and writes y.0");
    assert_eq!(refusal(write(TensorId(99))), "sum: tensor 99 is of another graph");
    g.output(y, "result");
    assert_eq!(refusal(g.apply("sum", add(true), &[x], &[y])), "sum writes result, which is an output");
    let clear = Clear { ty: rows(4), range: None };
    assert_eq!(refusal(g.apply("clear", clear, &[], &[s, s])), "clear writes s twice");
}

#[test]
fn values_are_written_before_they_are_read() {
    let mut g = Graph::new();
    let x = g.input("x", rows(4));
    let y = g.apply1("y", add(false), &[x, x]).unwrap();
    let z = g.apply1("z", add(false), &[y, x]).unwrap();
    g.output(z, "result");
    assert!(lowered(&g).is_ok());
    g.nodes.swap(0, 1);
    assert_eq!(refusal(lowered(&g)), "z reads y.0, which nothing writes before");
    // To update is to read.
    g.nodes[0].inputs = vec![x];
    g.nodes[0].updates = vec![y];
    assert_eq!(refusal(lowered(&g)), "z reads y.0, which nothing writes before");
}

#[test]
fn a_plan_knows_its_inputs() {
    let mut g = Graph::new();
    let [x, unread] = ["x", "unread"].map(|name| g.input(name, rows(4)));
    let y = g.apply1("y", add(false), &[x, x]).unwrap();
    g.output(y, "result");
    let plan = lowered(&g).unwrap();
    assert_eq!(plan.input(x).unwrap().tensor.name, "x");
    assert_eq!(plan.input(unread).unwrap().bytes, 0);
    assert_eq!(refusal(plan.input(y)), "plan test has no input result");
    assert_eq!(refusal(plan.input(TensorId(99))), "plan test has no input tensor 99");
}

/// A loss whose gradient takes the place of the logits, and the logits.
fn loss(g: &mut Graph) -> [TensorId; 2] {
    let x = g.input("x", rows(4));
    let w = g.parameter("w", DType::F32, shape![4, 4]);
    let logits = g.apply1("logits", Linear::new(4, 4), &[x, w]).unwrap();
    let targets = g.input("targets", TensorType::u32(shape![Unit::Rows]));
    [g.apply1("nll", Nll { vocabulary: 4 }, &[logits, targets]).unwrap(), logits]
}

#[test]
fn a_gradient_takes_a_place_only_where_nobody_reads_the_value() {
    let everything = |_: &str| true;
    let seeded = |g: &mut Graph, losses: &[TensorId]| {
        let seed = g.input("seed", TensorType::f32(shape![Unit::Rows]));
        let seeds: Vec<_> = losses.iter().map(|loss| (*loss, seed)).collect();
        g.backward(&seeds, &everything, Recompute::Nothing)
    };
    let mut g = Graph::new();
    let [nll, _] = loss(&mut g);
    seeded(&mut g, &[nll]).unwrap();

    // The caller reads the logits.
    let mut g = Graph::new();
    let [nll, logits] = loss(&mut g);
    g.output(logits, "scores");
    assert_eq!(refusal(seeded(&mut g, &[nll])), "nll.grad writes scores, which is an output");

    // A second loss needs them for its own gradient.
    let mut g = Graph::new();
    let [nll, logits] = loss(&mut g);
    let targets = g.input("targets", TensorType::u32(shape![Unit::Rows]));
    let second = g.apply1("second", Nll { vocabulary: 4 }, &[logits, targets]).unwrap();
    assert_eq!(
        refusal(seeded(&mut g, &[nll, second])),
        "nll.grad reads logits.0, which second.grad has overwritten"
    );
}

#[test]
fn a_section_is_not_run_again_on_what_was_overwritten() {
    let mut g = Graph::new();
    let x = g.input("x", rows(4));
    let w = g.parameter("w", DType::F32, shape![4, 4]);
    let a = g.apply1("a", add(false), &[x, x]).unwrap();
    let b = g.apply1("b", Linear::new(4, 4), &[a, w]).unwrap();
    g.section(1);
    g.apply("over", add(true), &[x], &[a]).unwrap();
    let seed = g.input("seed", rows(4));
    assert_eq!(
        refusal(g.backward(&[(b, seed)], &|_| true, Recompute::Sections)),
        "b.again reads a.0, which over has overwritten"
    );
}

#[test]
fn a_backward_pass_hands_out_what_it_appended() {
    let mut g = Graph::new();
    let [nll, logits] = loss(&mut g);
    let w = g.find("w").unwrap();
    let seed = g.input("seed", TensorType::f32(shape![Unit::Rows]));
    let keep = [(logits, "dlogits")];
    let found = g.backward_keeping(&[(nll, seed)], &|_| true, Recompute::Nothing, &keep).unwrap();
    let [(parameter, gradient)] = found.parameters[..] else { panic!("{found:?}") };
    assert_eq!(parameter, w);
    assert_eq!(g.tensors[gradient.0].role, Role::State(Purpose::Gradient));
    assert_eq!(g.tensors[gradient.0].name, gradient_name("w"));
    assert_eq!(found.asked(Asked::Order), None);
    let kept = found.kept[0].expect("the logits have a gradient");
    assert_eq!((g.tensors[kept.0].name.as_str(), &g.tensors[kept.0].role), ("dlogits", &Role::Output));
}

#[test]
fn a_shader_too_large_for_a_device_is_refused_by_name() {
    let mut g = Graph::new();
    let (x, w) = (g.input("x", rows(8)), g.parameter("w", DType::F32, shape![4, 8]));
    let y = g.apply1("product", Linear::new(8, 4), &[x, w]).expect("fits");
    g.output(y, "y");
    let lower = |device: DeviceTraits| g.lower("test", &device, CAPACITY);
    assert!(lower(DeviceTraits::floor()).is_ok());
    for (device, what) in [
        (DeviceTraits { workgroup_memory: 0, ..DeviceTraits::floor() }, "bytes of workgroup memory"),
        (DeviceTraits { max_invocations: 1, ..DeviceTraits::floor() }, "invocations of a workgroup"),
    ] {
        let error = lower(device).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.message().starts_with("product: the shader linear_rows takes "), "{error}");
        assert!(error.message().contains(what), "{error}");
    }
}

/// x → LayerNorm → Linear → GELU, gated → result.
fn fusible(g: &mut Graph) -> [TensorId; 3] {
    let x = g.state("x", Purpose::Exposed, TensorType::f32(shape![Unit::Rows, 8]));
    let norm = g.parameter("norm", DType::F32, shape![2, 8]);
    let w = g.parameter("w", DType::F32, shape![12, 8]);
    let normed =
        g.apply1("normed", Normalize { width: 8, rows: Unit::Rows, norm: Norm::LAYER }, &[x, norm]).unwrap();
    let both = g.apply1("both", Linear::new(8, 12), &[normed, w]).unwrap();
    let z = g.apply1("z", Activate::gelu(6), &[both]).unwrap();
    g.output(z, "result");
    [x, normed, both]
}

fn stems(g: &Graph, tokens: usize) -> Vec<&'static str> {
    let plan = g.lower("test", &DeviceTraits::cpu(), Capacity { tokens, ..CAPACITY }).unwrap();
    plan.steps.iter().map(|step| step.kernel.stem()).collect()
}

#[test]
fn few_rows_take_one_dispatch() {
    let mut g = Graph::new();
    fusible(&mut g);
    assert_eq!(stems(&g, 3), ["linear"]);
    assert_eq!(stems(&g, 300), ["norm", "linear", "activate"]);
    // The step reads and writes what the three did.
    let plan = lowered(&g).unwrap();
    let names: Vec<&str> =
        plan.steps[0].args.iter().map(|arg| plan.tensors[arg.tensor.0].tensor.name.as_str()).collect();
    assert_eq!(names, ["x", "w", "norm", "result"]);
}

#[test]
fn what_others_read_stays() {
    let mut g = Graph::new();
    let [_, normed, both] = fusible(&mut g);
    g.output(normed, "normed");
    assert_eq!(stems(&g, 3), ["norm", "linear"]);
    g.output(both, "both");
    assert_eq!(stems(&g, 3), ["norm", "linear", "activate"]);
}

#[test]
fn an_update_is_fused_into_a_projection_that_nothing_else_reads() {
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32(shape![Unit::Rows, 8]));
    let w = g.parameter("w", DType::F32, shape![8, 8]);
    let [a, b] =
        [shape![4, 8], shape![8, 4]].map(|shape| g.parameter(&format!("{shape}"), DType::F32, shape));
    let with = Linear { addend: Addend::Residual, ..Linear::new(8, 8) };
    let y = g.apply1("projection", with.clone(), &[x, w, x]).unwrap();
    let low = g.apply1("low", Linear::new(8, 4), &[x, a]).unwrap();
    let update = Linear { addend: Addend::Residual, ..Linear::new(4, 8) };
    let sum = g.apply1("sum", update, &[low, b, y]).unwrap();
    g.output(sum, "sum");
    assert_eq!(stems(&g, 3), ["linear", "linear"]);
    assert_eq!(stems(&g, 64), ["linear", "linear", "linear"]);
    // A projection that others read stays, and would be done twice.
    let other = g.apply1("other", with, &[y, w, x]).unwrap();
    g.output(other, "other");
    assert_eq!(stems(&g, 3), ["linear", "linear", "linear", "linear"]);
}

#[test]
fn nothing_is_fused_over_a_write() {
    let mut g = Graph::new();
    let [x, ..] = fusible(&mut g);
    let clear = Clear { ty: TensorType::f32(shape![Unit::Rows, 8]), range: None };
    g.apply("clear", clear, &[], &[x]).unwrap();
    assert_eq!(stems(&g, 3), ["linear", "clear"]);
    // Between the norm, which reads x, and the product.
    let last = g.nodes.pop().unwrap();
    g.nodes.insert(1, last);
    assert_eq!(stems(&g, 3), ["norm", "clear", "linear", "activate"]);
}

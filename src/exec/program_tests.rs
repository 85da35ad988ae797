//! Programs that share memory, and what they refuse.

use pollster::block_on;

use super::{CpuExecutor, Executor, Memory, Program, Submission};
use crate::error::{ErrorKind, Result};
use crate::graph::{Graph, Plan, Purpose};
use crate::kernels::DeviceTraits;
use crate::kernels::rows::add::Add;
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Lane, TensorId, TensorType, Unit, lane_table};

/// sum += x, and an input that no step reads.
fn counter() -> Plan {
    let mut g = Graph::new();
    let ty = TensorType::f32(shape![Unit::Rows, 2]);
    let x = g.input("x", ty.clone());
    g.input("unread", ty.clone());
    let sum = g.state("sum", Purpose::Exposed, ty.clone());
    g.apply("count", Add { ty, in_place: true }, &[x], &[sum]).expect("fits");
    let capacity = Capacity { lanes: 1, tokens: 3, slots: 1, context: 0 };
    g.lower("counter", &DeviceTraits::cpu(), capacity).expect("lowers")
}

fn cpu() -> Executor {
    Executor::Cpu(CpuExecutor::default())
}

fn program(memory: &Memory) -> Program {
    block_on(Program::new(counter(), memory)).expect("is made")
}

/// Adds two numbers to the first row; returns it.
fn try_count(program: &mut Program, x: [f32; 2]) -> Result<Vec<f32>> {
    let unread = program.plan().tensors.iter().position(|t| t.tensor.name == "unread");
    let inputs = [program.tensor("x")?, TensorId(unread.expect("is declared"))];
    let words = x.map(f32::to_bits);
    let (inputs, reads) = (inputs.map(|id| (id, &words[..])), [(program.tensor("sum")?, 2)]);
    let submission = Submission { calls: &[Call::start(1)], inputs: &inputs, reads: &reads };
    let read = block_on(program.run(submission))?.swap_remove(0);
    Ok(read.into_iter().map(f32::from_bits).collect())
}

fn count(program: &mut Program, x: [f32; 2]) -> Vec<f32> {
    try_count(program, x).expect("runs")
}

#[test]
fn programs_of_one_memory_find_what_the_others_left() {
    let memory = Memory::new(&cpu());
    let (mut one, mut other) = (program(&memory), program(&memory));
    assert_eq!(count(&mut one, [1.0, 10.0]), [1.0, 10.0]);
    assert_eq!(count(&mut other, [2.0, 20.0]), [3.0, 30.0]);
    // A copy goes on alone.
    let copy = block_on(memory.duplicate()).expect("copies");
    let mut third = one.over(&copy);
    assert_eq!(count(&mut third, [1.0, 1.0]), [4.0, 31.0]);
    assert_eq!(count(&mut one, [0.0, 0.0]), [3.0, 30.0]);
    let sum = one.tensor("sum").expect("is there");
    block_on(one.write(sum, 1, &[7f32.to_bits()])).expect("fits");
    assert_eq!(count(&mut other, [0.0, 0.0]), [3.0, 7.0]);
    assert_eq!(block_on(other.read(sum, 1..2)).expect("is there"), [7f32.to_bits()]);
}

/// A tensor that is stored again lies elsewhere.
#[test]
fn a_tensor_in_the_place_of_another_is_found() {
    let memory = Memory::new(&cpu());
    let mut program = program(&memory);
    assert_eq!(count(&mut program, [1.0, 1.0]), [1.0, 1.0]);
    block_on(memory.store("before", DType::F32, &[0])).expect("stores");
    block_on(memory.reserve("sum", DType::F32, 6)).expect("reserves");
    assert_eq!(count(&mut program, [1.0, 1.0]), [1.0, 1.0]);
}

#[test]
fn what_is_beneath_is_read_and_not_written() {
    let base = Memory::new(&cpu());
    block_on(base.reserve("sum", DType::F32, 6)).expect("reserves");
    let memory = Memory::over(&base);
    assert!(memory.contains("sum"));
    let error = try_count(&mut program(&memory), [1.0, 1.0]).expect_err("writes what is shared");
    assert!(error.kind() == ErrorKind::Shape && error.message().contains("count writes sum"), "{error}");
    assert_eq!(block_on(memory.read("sum", 4..6)).expect("is there"), [0, 0]);
    assert!(block_on(memory.write("sum", 0, &[1])).is_err());
}

#[test]
fn what_a_plan_does_not_have_is_named() {
    let mut program = program(&Memory::new(&cpu()));
    let error = program.tensor("nothing").expect_err("is not there");
    assert!(error.message().contains("plan counter") && error.message().contains("nothing"), "{error}");
    let ids = ["x", "sum"].map(|name| program.tensor(name).expect("is there"));
    let call = Call::start(1);
    let long = Call { tokens: 4, ..call.clone() };
    let words = [0; 7];
    for (calls, inputs, says) in [
        (&call, (ids[1], &words[..1]), "sum"),
        (&call, (ids[0], &words[..]), "7 words do not fit the input x"),
        (&long, (ids[0], &words[..1]), "4 tokens"),
    ] {
        let calls = std::slice::from_ref(calls);
        let error = block_on(program.run(Submission { calls, inputs: &[inputs], reads: &[] }));
        let error = error.expect_err("is refused");
        assert!(error.kind() == ErrorKind::Shape && error.message().contains(says), "{error}");
    }
}

#[test]
fn lanes_stand_where_their_call_looks_for_them() {
    let call = |slots: &[usize], lane_base| Call {
        lanes: slots.iter().map(|slot| Lane { slot: *slot, position: 5, ring: 1 }).collect(),
        tokens: 1,
        lane_base,
    };
    assert_eq!(
        lane_table(&[call(&[3, 4], 0), call(&[3, 4], 2)]),
        [3, 4, 3, 4].map(|s| [s, 5, 1, 0]).concat()
    );
    // Repetitions of a call share their rows.
    assert_eq!(lane_table(&[call(&[3], 0), call(&[3], 0)]), [3, 5, 1, 0]);
}

#[test]
fn calls_that_would_read_the_lanes_of_others_are_refused() {
    let mut program = program(&Memory::new(&cpu()));
    let at =
        |position, lane_base| Call { lanes: vec![Lane { slot: 0, position, ring: 0 }], tokens: 1, lane_base };
    let mut run = |calls: &[Call]| block_on(program.run(Submission { calls, inputs: &[], reads: &[] }));
    run(&[at(0, 0), at(1, 1), at(0, 0)]).expect("runs");
    let error = run(&[at(0, 0), at(1, 0)]).expect_err("the first has the lane of the second");
    assert!(error.kind() == ErrorKind::Shape && error.message().contains("row 0"), "{error}");
}

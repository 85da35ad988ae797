//! The sessions of one model: what each takes of a device and gives back, and that neighbours do not matter.

use std::ops::ControlFlow;

use pollster::block_on;
use polysketch::check::models::few_models;
use polysketch::check::random::Rng;
use polysketch::exec::Executor;
use polysketch::model::{GenerateOptions, LoadOptions, Model, Session};

use crate::places::{Place, Tests, load};

/// Reads and writes; what was written.
fn episode(session: &mut Session, seed: u64) -> Vec<u32> {
    let text = Rng(seed).tokens(70, 200);
    block_on(session.prefill(0, &text, &mut |_| ControlFlow::Continue(()))).unwrap();
    let options = GenerateOptions { seed, ..GenerateOptions::default() };
    (0..3).flat_map(|_| block_on(session.decode(&[0], &[&options], 8)).unwrap().concat()).collect()
}

fn model(executor: &Executor) -> Model {
    let options = LoadOptions { segment: Some(64), ..LoadOptions::default() };
    load(executor, few_models()[0].source(), options)
}

fn session(model: &Model) -> Session {
    block_on(Session::new(model)).unwrap()
}

/// A hundred sessions take the scratch memory of one, and their states; closed, they leave nothing.
fn a_hundred_sessions(executor: &Executor) {
    let Executor::Gpu(gpu) = executor else { return };
    let model = model(executor);
    let in_use = || (gpu.context().allocated_buffers(), gpu.context().allocated_bytes());
    // The first makes the scratch memory, and fills the pool of staging buffers.
    episode(&mut session(&model), 1);
    let alone = in_use();
    let mut open: Vec<Session> = (0..100).map(|_| session(&model)).collect();
    for at in [0, 99] {
        episode(&mut open[at], 1);
    }
    let many = in_use();
    let state = open[0].state_bytes() as u64;
    // A session's sampler is a state too, which is not saved.
    let each = (many.1 - alone.1) / 100;
    assert!(each < 2 * state + 8192, "{each} bytes a session of {state} bytes of state");
    assert!(each < model.blueprint().memory().scratch / 2, "{each} bytes a session");
    drop(open);
    assert_eq!(in_use(), alone, "buffers and bytes after a hundred sessions were dropped");
    for _ in 0..100 {
        drop(session(&model));
    }
    assert_eq!(in_use(), alone, "buffers and bytes after a hundred more, one after the other");
}

/// Sessions that take turns, or run at once on threads of their own, write what each writes alone.
fn side_by_side(executor: &Executor) {
    let model = model(executor);
    let alone: Vec<Vec<u32>> = (1..=4).map(|seed| episode(&mut session(&model), seed)).collect();
    let mut both = [session(&model), session(&model)];
    for (at, seed) in [(0, 1), (1, 2)] {
        let text = Rng(seed).tokens(70, 200);
        block_on(both[at].prefill(0, &text, &mut |_| ControlFlow::Continue(()))).unwrap();
    }
    let mut written = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        for at in [0, 1] {
            let options = GenerateOptions { seed: at as u64 + 1, ..GenerateOptions::default() };
            written[at].extend(block_on(both[at].decode(&[0], &[&options], 8)).unwrap().concat());
        }
    }
    assert_eq!(written[..], alone[..2], "in turns");
    let at_once: Vec<Vec<u32>> = std::thread::scope(|scope| {
        let model = &model;
        let run = |seed| scope.spawn(move || episode(&mut session(model), seed));
        let threads: Vec<_> = (1..=4).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(at_once, alone, "at once");
}

pub fn add(tests: &mut Tests) {
    // Other tests allocate on the device that is shared.
    tests.each(Place::is_gpu, "sessions", "a_hundred_take_the_scratch_of_one", |place| {
        a_hundred_sessions(&place.fresh(Default::default()));
    });
    tests.each(|_| true, "sessions", "side_by_side", |place| side_by_side(place.executor()));
}

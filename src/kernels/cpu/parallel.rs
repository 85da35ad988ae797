//! Work shared among threads, and memory for each of them.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use super::Real;

#[cfg(not(target_arch = "wasm32"))]
use super::pool;

/// Threads that [`parallel_for`] uses, this one included: those of the machine, or what
/// `POLYSKETCH_THREADS` says; 1 on wasm.
pub fn threads() -> usize {
    #[cfg(not(target_arch = "wasm32"))]
    return pool::threads();
    #[cfg(target_arch = "wasm32")]
    1
}

/// Runs `f(0) … f(tasks - 1)`, each once, in any order, on any thread; returns when all are done.
///
/// A fork and join costs about a microsecond while the threads are warm. Nested calls, and calls while
/// another thread is in one, run here.
pub fn parallel_for(tasks: usize, f: impl Fn(usize) + Sync) {
    #[cfg(not(target_arch = "wasm32"))]
    if tasks > 1 {
        return pool::run(tasks, &f);
    }
    (0..tasks).for_each(f);
}

/// Runs `f(i, chunk i)` for the chunks of `data` of length `chunk` (the last may be shorter), in parallel.
pub fn parallel_chunks<R: Send>(data: &mut [R], chunk: usize, f: impl Fn(usize, &mut [R]) + Sync) {
    let len = data.len();
    let shared = SharedMut::new(data);
    parallel_for(len.div_ceil(chunk), |i| {
        let start = i * chunk;
        // SAFETY: chunks of different `i` do not overlap, and every `i` comes once.
        let part = unsafe { shared.slice(start, chunk.min(len - start)) };
        f(i, part);
    });
}

/// Runs `f(i, item i)` in parallel: the way to hand parts of several slices to tasks, as zipped
/// `chunks_mut`, or as [`ranges`](super::ranges) or [`blocks`](super::blocks) of them.
pub fn parallel_each<T: Send>(items: impl IntoIterator<Item = T>, f: impl Fn(usize, T) + Sync) {
    if threads() == 1 {
        return items.into_iter().enumerate().for_each(|(i, item)| f(i, item));
    }
    let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    parallel_for(items.len(), |i| {
        let item = items[i].lock().unwrap_or_else(PoisonError::into_inner).take();
        f(i, item.expect("every task runs once"));
    });
}

/// Lets parallel tasks write disjoint parts of one slice.
///
/// The slice stays borrowed for `'a`, so nobody else sees it meanwhile.
#[derive(Debug)]
pub struct SharedMut<'a, R> {
    start: *mut R,
    len: usize,
    owner: PhantomData<&'a mut [R]>,
}

// SAFETY: it stands for a `&mut [R]` whose parts go to one thread each; the contract of `slice` keeps
// the parts disjoint.
unsafe impl<R: Send> Send for SharedMut<'_, R> {}
// SAFETY: as above.
unsafe impl<R: Send> Sync for SharedMut<'_, R> {}

impl<'a, R> SharedMut<'a, R> {
    /// Takes the slice for as long as it is shared.
    pub fn new(data: &'a mut [R]) -> Self {
        Self { start: data.as_mut_ptr(), len: data.len(), owner: PhantomData }
    }

    /// Where the slice begins.
    pub(super) fn as_ptr(&self) -> *mut R {
        self.start
    }

    /// `data[start .. start + len]`; panics out of bounds.
    ///
    /// # Safety
    /// While the result lives, no other call may return a range that overlaps it.
    #[allow(clippy::mut_from_ref, reason = "the caller promises that parts are apart")]
    pub unsafe fn slice(&self, start: usize, len: usize) -> &mut [R] {
        assert!(
            start <= self.len && len <= self.len - start,
            "range {start}..+{len} of a shared slice of {}",
            self.len
        );
        // SAFETY: in bounds by the assertion, unaliased by the contract, borrowed for `'a`.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}

/// One cache line, so that scratch is aligned for every vector type.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

thread_local! {
    static SCRATCH: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` on a buffer of `len` elements that this thread keeps for reuse. What is in it is undefined.
/// Nested calls get buffers of their own.
pub fn with_scratch<R: Real, T>(len: usize, f: impl FnOnce(&mut [R]) -> T) -> T {
    let mut buffer = SCRATCH.with_borrow_mut(Vec::pop).unwrap_or_default();
    let lines = (len * size_of::<R>()).div_ceil(size_of::<Line>());
    if buffer.len() < lines {
        buffer.resize(lines, bytemuck::Zeroable::zeroed());
    }
    let result = f(&mut bytemuck::cast_slice_mut(&mut buffer)[..len]);
    SCRATCH.with_borrow_mut(|free| free.push(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[test]
    fn every_task_runs_once() {
        for tasks in [0, 1, 2, 7, 1000] {
            let runs: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            parallel_for(tasks, |i| {
                runs[i].fetch_add(1, SeqCst);
            });
            assert!(runs.iter().all(|n| n.load(SeqCst) == 1), "{tasks} tasks");
        }
    }

    #[test]
    fn nested_and_competing_loops_run() {
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        parallel_for(3, |_| {
                            parallel_for(5, |_| {
                                count.fetch_add(1, SeqCst);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(count.load(SeqCst), 4 * 200 * 15);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        for bad in 0..8 {
            let outcome = std::panic::catch_unwind(|| parallel_for(8, |i| assert!(i != bad, "task {i}")));
            assert!(outcome.is_err());
            every_task_runs_once();
        }
    }

    #[test]
    fn sleeping_threads_wake() {
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(1));
            every_task_runs_once();
        }
    }

    #[test]
    fn chunks_cover_the_slice() {
        let mut data = vec![0; 103];
        parallel_chunks(&mut data, 10, |i, chunk| {
            assert_eq!(chunk.len(), if i == 10 { 3 } else { 10 });
            chunk.fill(i + 1);
        });
        assert!(data.iter().enumerate().all(|(at, &i)| i == at / 10 + 1));
        parallel_chunks(&mut data[..0], 10, |_, _| unreachable!());
    }

    #[test]
    fn every_item_comes_once() {
        let (mut a, mut b) = (vec![0; 100], vec![0; 200]);
        parallel_each(a.chunks_mut(7).zip(b.chunks_mut(14)), |i, (a, b)| {
            a.fill(i + 1);
            b.fill(i + 1);
        });
        assert!(a.iter().enumerate().all(|(at, &i)| i == at / 7 + 1));
        assert!(b.iter().enumerate().all(|(at, &i)| i == at / 14 + 1));
    }

    #[test]
    #[should_panic(expected = "of a shared slice of 4")]
    fn shared_slices_stay_in_bounds() {
        let mut data = [0; 4];
        // SAFETY: the only part.
        unsafe { SharedMut::new(&mut data).slice(3, 2) };
    }

    #[test]
    fn nested_scratch_is_distinct() {
        for _ in 0..3 {
            with_scratch(100, |outer: &mut [f32]| {
                outer.fill(1.0);
                with_scratch(50, |inner: &mut [f64]| inner.fill(2.0));
                assert!(outer.len() == 100 && outer.iter().all(|&x| x == 1.0));
                assert!(outer.as_ptr().addr().is_multiple_of(64));
            });
        }
        with_scratch(0, |empty: &mut [f32]| assert!(empty.is_empty()));
    }
}

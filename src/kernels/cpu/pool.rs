//! A fork and join for very short work.
//!
//! A decoding step is some hundred parallel loops of a few microseconds each. Handing one to rayon from
//! outside its pool takes about ten: the caller sleeps on a lock and is woken. Here the caller works
//! too, waits for nobody who has not begun, and the other threads look out for work for a while before
//! they sleep.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Looks for work before a thread sleeps; each is a pause of 10 to 50 ns.
const LOOKS_BEFORE_SLEEP: usize = 2000;
/// Looks before a caller that waits for the others gives its time slice away.
const LOOKS_BEFORE_YIELD: usize = 2000;

/// One parallel loop, on the stack of its caller.
struct Job {
    /// The loop body, its lifetime forgotten.
    body: &'static (dyn Fn(usize) + Sync),
    tasks: usize,
    /// The next task that nobody has taken.
    next: AtomicUsize,
    panicked: AtomicBool,
}

impl Job {
    fn work(&self) {
        loop {
            let task = self.next.fetch_add(1, SeqCst);
            if task >= self.tasks {
                return;
            }
            (self.body)(task);
        }
    }
}

/// The threads and the one loop they may be in.
struct Pool {
    /// Set while some caller has the pool.
    taken: AtomicBool,
    /// The loop to help with; null when there is none.
    job: AtomicPtr<Job>,
    /// Counts the loops, so that a thread helps with each at most once.
    number: AtomicUsize,
    /// Threads that may hold a reference to `job`.
    helpers: AtomicUsize,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    alarm: Condvar,
}

static POOL: Pool = Pool {
    taken: AtomicBool::new(false),
    job: AtomicPtr::new(std::ptr::null_mut()),
    number: AtomicUsize::new(0),
    helpers: AtomicUsize::new(0),
    sleepers: AtomicUsize::new(0),
    bed: Mutex::new(()),
    alarm: Condvar::new(),
};

/// Threads of the pool, the caller included. The first call starts them.
pub fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        let asked = std::env::var("POLYSKETCH_THREADS").ok().and_then(|n| n.parse().ok());
        let wanted = asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let start = |i: &usize| {
            std::thread::Builder::new().name(format!("polysketch-{i}")).spawn(|| POOL.serve()).is_ok()
        };
        // Fewer threads than wanted are slower, not wrong.
        1 + (1..wanted).take_while(start).count()
    })
}

/// Runs `body(0) … body(tasks - 1)`, each once; on this thread alone if the pool is in use.
pub fn run(tasks: usize, body: &(dyn Fn(usize) + Sync)) {
    if threads() == 1 || POOL.taken.swap(true, SeqCst) {
        return (0..tasks).for_each(body);
    }
    // SAFETY: only the lifetime changes. `Job` is reached through `POOL.job` alone, and `Posted` takes it
    // back from there, then waits for the last helper, before `body` and `job` go out of scope.
    let body =
        unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(body) };
    let job = Job { body, tasks, next: AtomicUsize::new(0), panicked: AtomicBool::new(false) };
    let posted = Posted::new(&job);
    job.work();
    drop(posted);
    assert!(!job.panicked.load(SeqCst), "a parallel task panicked");
}

/// A loop that other threads can see, until dropped (also by a panic of the caller's own task).
struct Posted<'a>(&'a Job);

impl<'a> Posted<'a> {
    fn new(job: &'a Job) -> Self {
        POOL.job.store(std::ptr::from_ref(job).cast_mut(), SeqCst);
        POOL.number.fetch_add(1, SeqCst);
        // A thread counts itself a sleeper before it looks at `number` for the last time: one of the
        // two sees the other.
        if POOL.sleepers.load(SeqCst) > 0 {
            drop(POOL.bed());
            POOL.alarm.notify_all();
        }
        Self(job)
    }
}

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        // After a panic: nobody begins another task.
        self.0.next.fetch_add(self.0.tasks, SeqCst);
        POOL.job.store(std::ptr::null_mut(), SeqCst);
        let mut looks = 0;
        while POOL.helpers.load(SeqCst) > 0 {
            looks += 1;
            if looks < LOOKS_BEFORE_YIELD { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        POOL.taken.store(false, SeqCst);
    }
}

impl Pool {
    fn bed(&self) -> MutexGuard<'_, ()> {
        self.bed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread.
    fn serve(&self) {
        let mut seen = 0;
        loop {
            seen = self.wait(seen);
            // Announced before the pointer is read, while the caller clears the pointer before it reads
            // the count: either we see null or the caller waits for us.
            self.helpers.fetch_add(1, SeqCst);
            // SAFETY: not null means that its caller is still before or in `Posted::drop`, which waits
            // until `helpers` is back to 0.
            let job = unsafe { self.job.load(SeqCst).as_ref() };
            if let Some(job) = job
                && catch_unwind(AssertUnwindSafe(|| job.work())).is_err()
            {
                job.panicked.store(true, SeqCst);
            }
            self.helpers.fetch_sub(1, SeqCst);
        }
    }

    /// Waits for a loop other than number `seen`; its number.
    fn wait(&self, seen: usize) -> usize {
        for _ in 0..LOOKS_BEFORE_SLEEP {
            let number = self.number.load(SeqCst);
            if number != seen {
                return number;
            }
            std::hint::spin_loop();
        }
        let mut bed = self.bed();
        self.sleepers.fetch_add(1, SeqCst);
        while self.number.load(SeqCst) == seen {
            bed = self.alarm.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, SeqCst);
        drop(bed);
        self.number.load(SeqCst)
    }
}

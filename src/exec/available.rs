//! The memory that this machine has to give, asked before much of it is taken: Linux grants more than it has,
//! and kills who uses it.

use crate::error::{Error, ErrorKind, Result};
use crate::graph::size;

/// Refuses `what` if it needs more bytes of main memory than there are. Where the system does not tell,
/// nothing is refused.
///
/// # Errors
/// [`ErrorKind::OutOfMemory`], with both numbers and `help`.
pub(crate) fn check_memory(what: &str, bytes: u64, help: &str) -> Result<()> {
    match available() {
        Some(there) if bytes > there => Err(Error::new(
            ErrorKind::OutOfMemory,
            format!("{what} needs {} of memory, {} are available", size(bytes), size(there)),
        )
        .help(help)),
        _ => Ok(()),
    }
}

/// Zeros, or an error instead of an abort.
///
/// # Errors
/// [`ErrorKind::OutOfMemory`].
pub(crate) fn zeros<T: Clone + Default>(what: &str, elements: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(elements).map_err(|_| {
        let bytes = size((elements as u64).saturating_mul(size_of::<T>() as u64));
        Error::new(ErrorKind::OutOfMemory, format!("{what}: {bytes} of memory are not available"))
            .help("use a smaller batch, context or segment")
    })?;
    values.resize(elements, T::default());
    Ok(values)
}

/// Bytes that can be taken without swapping or exceeding what the control groups of this process may have;
/// none where the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn available() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let free = read("/proc/meminfo").and_then(|text| linux::free(&text));
    let granted = read("/proc/self/cgroup").and_then(|groups| linux::granted(&groups, &read));
    free.into_iter().chain(granted).min()
}

/// What an address of a page's memory can reach, less what the program has besides.
#[cfg(target_arch = "wasm32")]
pub(crate) fn available() -> Option<u64> {
    Some((1 << 32) - BESIDE)
}

#[cfg(not(any(target_os = "linux", target_arch = "wasm32")))]
pub(crate) fn available() -> Option<u64> {
    None
}

/// Bytes of a page's memory that a model's plan does not count: the vocabulary, pieces of its files, texts.
#[cfg(target_arch = "wasm32")]
const BESIDE: u64 = 128 << 20;

/// Refuses `what` if a page's memory cannot grow by so many bytes: browsers and devices have limits of their own
/// below 4 GiB, and tell them in this way only. Natively [`check_memory`] has told all.
///
/// # Errors
/// As [`check_memory`].
#[cfg(target_arch = "wasm32")]
pub(crate) fn check_room(what: &str, bytes: u64, help: &str) -> Result<()> {
    /// Bytes that are asked for at a time.
    const PART: usize = 16 << 20;
    let (mut parts, mut got) = (Vec::new(), 0);
    while got < bytes + BESIDE {
        let mut part: Vec<u8> = Vec::new();
        if part.try_reserve_exact(PART).is_err() {
            let there = size(got.saturating_sub(BESIDE));
            let text = format!("{what} needs {} of memory, {there} are available", size(bytes));
            return Err(Error::new(ErrorKind::OutOfMemory, text).help(help));
        }
        got += PART as u64;
        // It is not left out by the compiler, and none of it is touched.
        parts.push(std::hint::black_box(part));
    }
    Ok(())
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn check_room(_: &str, _: u64, _: &str) -> Result<()> {
    Ok(())
}

#[cfg(any(test, target_os = "linux"))]
mod linux {
    /// Of `/proc/meminfo`.
    pub fn free(meminfo: &str) -> Option<u64> {
        let kib =
            meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.trim().strip_suffix("kB")?;
        Some(kib.trim().parse::<u64>().ok()? << 10)
    }

    /// What the memory groups in `/proc/self/cgroup` leave; none without a limit. A group is bound by the
    /// groups around it too; those that a container does not see are absent, and its own is then the root.
    pub fn granted(groups: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
        let mut least = None;
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let (root, limit, usage, cache) = if controllers.is_empty() {
                ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file ")
            } else if controllers.split(',').any(|name| name == "memory") {
                (
                    "/sys/fs/cgroup/memory",
                    "memory.limit_in_bytes",
                    "memory.usage_in_bytes",
                    "total_inactive_file ",
                )
            } else {
                continue;
            };
            let mut path = path.trim_end_matches('/');
            loop {
                let number = |name: &str| read(&format!("{root}{path}/{name}"))?.trim().parse::<u64>().ok();
                if let (Some(limit), Some(usage)) = (number(limit), number(usage)) {
                    // Files that were read once count as used, and are given up first.
                    let stat = read(&format!("{root}{path}/memory.stat")).unwrap_or_default();
                    let cached = stat
                        .lines()
                        .find_map(|line| line.strip_prefix(cache)?.trim().parse::<u64>().ok())
                        .unwrap_or(0);
                    let left = limit.saturating_sub(usage.saturating_sub(cached));
                    least = Some(least.map_or(left, |least: u64| least.min(left)));
                }
                match path.rfind('/') {
                    Some(end) => path = &path[..end],
                    None => break,
                }
            }
        }
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory() {
        assert_eq!(
            linux::free("MemTotal:       24684096 kB\nMemFree:  1 kB\nMemAvailable:   23598192 kB\n"),
            Some(23_598_192 << 10)
        );
        assert_eq!(linux::free("MemTotal: 5 kB\n"), None);
        assert_eq!(available().is_some(), cfg!(target_os = "linux"));
    }

    #[test]
    fn the_tightest_group_counts() {
        let files = [
            ("/sys/fs/cgroup/a/memory.max", "1000\n"),
            ("/sys/fs/cgroup/a/memory.current", "900\n"),
            ("/sys/fs/cgroup/a/memory.stat", "anon 500\ninactive_file 300\nactive_file 100\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/b/memory.current", "700\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "350\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "400\n"),
            ("/sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
        ];
        let read =
            |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| text.to_string());
        assert_eq!(linux::granted("0::/a/b\n", &read), Some(400));
        assert_eq!(linux::granted("5:cpu:/x\n0::/other\n", &read), None);
        assert_eq!(linux::granted("4:cpu,memory:/not/seen/here\n0::/\n", &read), Some(50));
        assert_eq!(linux::granted("", &read), None);
    }

    #[test]
    fn zeros_or_an_error() {
        assert_eq!(zeros::<f32>("few", 3).expect("fits"), [0.0; 3]);
        let error = zeros::<f32>("many", usize::MAX).expect_err("no machine has them");
        assert!(error.kind() == ErrorKind::OutOfMemory && error.message().starts_with("many: "), "{error}");
    }

    #[test]
    fn too_much_is_refused_in_one_line() {
        assert!(check_memory("nothing", 0, "").is_ok());
        if cfg!(target_os = "linux") {
            let error =
                check_memory("the moon", u64::MAX, "take less").expect_err("more than any machine has");
            assert_eq!((error.kind(), error.advice()), (ErrorKind::OutOfMemory, Some("take less")));
            assert!(error.message().starts_with("the moon needs 16.0 EiB of memory, "), "{error}");
        }
    }
}

//! Resident memory of this process, where the system tells it (Linux).

/// Watches how much memory something needs on top of what the process holds already.
#[derive(Debug)]
pub(super) struct Peak {
    before: u64,
}

impl Peak {
    /// From now on; none where the system does not tell.
    pub fn start() -> Option<Self> {
        // Sets the high-water mark back to what is resident now.
        std::fs::write("/proc/self/clear_refs", "5").ok()?;
        Some(Self { before: status("VmRSS:")? })
    }

    /// Most bytes so far.
    pub fn bytes(&self) -> Option<u64> {
        Some(status("VmHWM:")?.saturating_sub(self.before))
    }
}

fn status(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_vector_is_seen() {
        let Some(peak) = Peak::start() else { return };
        drop(std::hint::black_box(vec![1u8; 64 << 20]));
        assert!(peak.bytes().is_some_and(|bytes| bytes >= 60 << 20), "{:?}", peak.bytes());
    }
}

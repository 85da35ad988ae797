//! The four chips whose compilers are at hand, and the few numbers of the cost model.

use crate::kernels::Vendor;

/// A chip, as far as the cost model knows it.
#[derive(Clone, Debug)]
pub struct Chip {
    /// Who makes it.
    pub vendor: Vendor,
    /// Its word in tables and options.
    pub word: &'static str,
    /// Which compiler makes its code, of Mesa.
    pub compiler: &'static str,
    /// Whose numbers these are.
    pub card: &'static str,
    /// What runs workgroups of its own.
    pub processors: usize,
    /// Registers of 32 bits in one.
    pub registers: usize,
    /// f32 operations a second.
    pub flops: f64,
    /// Cycles a second.
    pub clock: f64,
    /// Words of workgroup memory that the load unit gives in the time of a multiply-add.
    pub words: f64,
    /// Bytes a second from memory.
    pub bandwidth: f64,
    /// Seconds of an empty dispatch among others.
    pub dispatch: f64,
    /// Invocations that one processor holds at most.
    pub resident: usize,
    /// Invocations that keep one busy.
    pub full: usize,
    /// Workgroup memory of one, bytes.
    pub workgroup_memory: usize,
}

/// A multiply-add is two operations.
const FMA: f64 = 2.0;

/// All of them, in the order of tables.
pub static CHIPS: [Chip; 4] = [
    Chip {
        vendor: Vendor::Nvidia,
        word: "nvidia",
        compiler: "NAK for Ampere (chipset 172)",
        card: "an H100 (measured)",
        processors: 132,
        registers: 65536,
        flops: 61.1e12,
        clock: 1.755e9,
        words: 0.25,
        bandwidth: 1.77e12,
        dispatch: 2.2e-6,
        resident: 2048,
        full: 256,
        workgroup_memory: 228 << 10,
    },
    Chip {
        vendor: Vendor::Amd,
        word: "amd",
        compiler: "ACO for Navi 31",
        card: "an RX 7900 XTX without dual issue (data sheet)",
        processors: 96,
        registers: 98304,
        flops: 96.0 * 64.0 * 2.5e9 * FMA,
        clock: 2.5e9,
        words: 0.5,
        bandwidth: 0.96e12,
        dispatch: 3e-6,
        resident: 2048,
        full: 256,
        workgroup_memory: 64 << 10,
    },
    Chip {
        vendor: Vendor::Apple,
        word: "apple",
        compiler: "AGX",
        card: "an M1 of 8 cores (data sheet)",
        processors: 8,
        registers: 53248,
        flops: 8.0 * 128.0 * 1.278e9 * FMA,
        clock: 1.278e9,
        words: 0.25,
        bandwidth: 68e9,
        dispatch: 5e-6,
        resident: 1024,
        full: 256,
        workgroup_memory: 60 << 10,
    },
    Chip {
        vendor: Vendor::Qualcomm,
        word: "adreno",
        compiler: "IR3",
        card: "an Adreno 630 (data sheet)",
        processors: 2,
        registers: 24576,
        flops: 2.0 * 256.0 * 0.71e9 * FMA,
        clock: 0.71e9,
        words: 0.25,
        bandwidth: 29.8e9,
        dispatch: 20e-6,
        resident: 2048,
        full: 256,
        workgroup_memory: 32 << 10,
    },
];

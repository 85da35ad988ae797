//! The four devices of the gauge: which driver compiles for them, and what its words mean.

use std::path::{Path, PathBuf};

use super::isa::{self, Share};
use super::protocol::Compiled;
use crate::bench::estimate::{CHIPS, Chip, Code, cost};

/// A device that is not there, with a compiler that is.
#[derive(Debug)]
pub struct Machine {
    /// What code is made for, and whose numbers the estimate takes.
    pub chip: &'static Chip,
    /// Mesa's driver: `libvulkan_{driver}.so`.
    driver: &'static str,
    /// The device that is not there: `lib{shim}_noop_drm_shim.so`.
    shim: &'static str,
    /// What tells the shim which chip to be, and the driver to print.
    pub environment: &'static [(&'static str, &'static str)],
    /// Registers an invocation may take before occupancy is below its budget, as the driver counts them.
    pub most_registers: u64,
    /// Occupancy that a kernel should keep, as the driver counts it.
    pub budget: u64,
    /// What the driver's occupancy counts.
    pub occupancy_of: &'static str,
    read: fn(&Compiled) -> Built,
}

/// What a compiler made of a shader, in the same words for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Built {
    /// Registers of an invocation.
    pub registers: u64,
    /// Subgroups or invocations that are resident, in the driver's own unit.
    pub occupancy: u64,
    /// Invocations that one processor can hold, by registers.
    pub resident: usize,
    /// Registers that are kept in memory.
    pub spills: u64,
    /// Instructions in all.
    pub instructions: u64,
    /// Cycles of a subgroup by the compiler's own count, where it gives one.
    pub cycles: Option<u64>,
    /// What the inner loop holds.
    pub hot: Share,
}

/// All of them, in the order of tables.
pub static MACHINES: [Machine; 4] = [
    Machine {
        chip: &CHIPS[0],
        driver: "nouveau",
        shim: "nouveau",
        environment: &[("NOUVEAU_CHIPSET", "172")],
        most_registers: 168,
        budget: 12,
        occupancy_of: "warps on a multiprocessor",
        read: nvidia,
    },
    Machine {
        chip: &CHIPS[1],
        driver: "radeon",
        shim: "amdgpu",
        environment: &[("AMDGPU_GPU_ID", "navi31")],
        most_registers: 192,
        budget: 4,
        occupancy_of: "subgroups on a SIMD unit",
        read: amd,
    },
    Machine {
        chip: &CHIPS[2],
        driver: "asahi",
        shim: "asahi",
        // Its code is told by no extension.
        environment: &[("AGX_MESA_DEBUG", "shaders")],
        most_registers: 232,
        budget: 448,
        occupancy_of: "invocations on a core",
        read: apple,
    },
    Machine {
        chip: &CHIPS[3],
        driver: "freedreno",
        shim: "freedreno",
        environment: &[("FD_GPU_ID", "630")],
        most_registers: 48,
        budget: 4,
        occupancy_of: "subgroups on a shader processor",
        read: adreno,
    },
];

impl Machine {
    /// The machine of a word: its own, or its vendor's.
    pub fn named(word: &str) -> Option<&'static Self> {
        MACHINES.iter().find(|machine| machine.chip.word == word || machine.chip.vendor.as_str() == word)
    }

    /// What code is made for, and whose numbers the estimate takes.
    pub fn about(&self) -> String {
        format!("{}, the numbers of {}", self.chip.compiler, self.chip.card)
    }

    /// What a compiler made, in common words.
    pub fn built(&self, compiled: &Compiled) -> Built {
        (self.read)(compiled)
    }

    /// Mesa's driver below a folder that `tests/gauge/setup` filled.
    pub(super) fn driver(&self, mesa: &Path) -> PathBuf {
        libraries(mesa).join(format!("libvulkan_{}.so", self.driver))
    }

    /// The device that is not there.
    pub(super) fn shim(&self, mesa: &Path) -> PathBuf {
        libraries(mesa).join(format!("lib{}_noop_drm_shim.so", self.shim))
    }
}

impl Built {
    /// What the cost model needs of it.
    pub fn code(&self, chip: &Chip) -> Code {
        let count = &self.hot.count;
        Code {
            instructions: self.instructions,
            resident: self.resident,
            share: cost::share(chip, count.instructions, count.multiply_adds, [count.near, count.far]),
        }
    }
}

/// Where Mesa and the libraries beneath it lie.
pub(super) fn libraries(mesa: &Path) -> PathBuf {
    mesa.join("root/usr/lib/x86_64-linux-gnu")
}

/// The loader that runs a program with these libraries.
pub(super) fn loader(mesa: &Path) -> PathBuf {
    libraries(mesa).join("ld-linux-x86-64.so.2")
}

fn number(compiled: &Compiled, name: &str) -> u64 {
    compiled.statistic(name).unwrap_or(0)
}

fn nvidia(c: &Compiled) -> Built {
    let occupancy = number(c, "Max warps/SM");
    Built {
        registers: number(c, "Number of GPRs"),
        occupancy,
        resident: 32 * occupancy as usize,
        spills: number(c, "Spills to memory") + number(c, "Fills from memory"),
        instructions: number(c, "Instruction count"),
        cycles: c.statistic("Static cycle count"),
        hot: c.text("NAK assembly").map(isa::nvidia).unwrap_or_default(),
    }
}

fn amd(c: &Compiled) -> Built {
    let occupancy = number(c, "Subgroups per SIMD");
    Built {
        registers: number(c, "VGPRs"),
        occupancy,
        resident: 2 * occupancy as usize * c.subgroup as usize,
        spills: number(c, "Spilled VGPRs") + number(c, "Spilled SGPRs"),
        instructions: number(c, "Instructions"),
        cycles: c.statistic("Latency"),
        hot: c.text("Assembly").map(isa::amd).unwrap_or_default(),
    }
}

fn apple(c: &Compiled) -> Built {
    let occupancy = number(c, "Threads");
    Built {
        registers: number(c, "GPRs"),
        occupancy,
        resident: occupancy as usize,
        spills: number(c, "Spills") + number(c, "Fills"),
        instructions: number(c, "Instructions"),
        cycles: None,
        hot: c.text("printed").map(isa::apple).unwrap_or_default(),
    }
}

fn adreno(c: &Compiled) -> Built {
    let occupancy = number(c, "Max Waves Per Core");
    Built {
        registers: number(c, "Registers used"),
        occupancy,
        resident: occupancy as usize * c.subgroup as usize,
        spills: number(c, "STP Count") + number(c, "LDP Count"),
        instructions: number(c, "Instruction Count"),
        cycles: None,
        hot: c.text("IR3 Assembly").map(isa::adreno).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_named_by_its_word_or_vendor() {
        let word = |name| Machine::named(name).map(|machine| machine.chip.word);
        assert_eq!(
            [word("nvidia"), word("qualcomm"), word("adreno")],
            [Some("nvidia"), Some("adreno"), Some("adreno")]
        );
        assert_eq!(word("intel"), None);
    }

    #[test]
    fn statistics_come_by_their_drivers_names() {
        let of = |list: &[(&str, f64)]| Compiled {
            subgroup: 64,
            statistics: list.iter().map(|(name, value)| ((*name).to_string(), *value)).collect(),
            ..Compiled::default()
        };
        let amd = MACHINES[1].built(&of(&[
            ("VGPRs", 192.0),
            ("Subgroups per SIMD", 4.0),
            ("Spilled VGPRs", 3.0),
            ("Instructions", 1860.0),
            ("Latency", 19974.0),
        ]));
        assert_eq!((amd.registers, amd.occupancy, amd.resident), (192, 4, 512));
        assert_eq!((amd.spills, amd.instructions, amd.cycles), (3, 1860, Some(19974)));
        let apple = MACHINES[2].built(&of(&[("Spills", 10.0), ("Fills", 10.0), ("Threads", 384.0)]));
        assert_eq!((apple.spills, apple.resident, apple.cycles), (20, 384, None));
    }
}

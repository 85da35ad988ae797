//! Who made an adapter, and what is known of the chip beyond what an API tells.

use serde::{Deserialize, Serialize};

use crate::kernels::Vendor;

/// What kind of chip an adapter is. What nobody knows is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hardware {
    /// Who made it.
    pub vendor: Vendor,
    /// `hopper`, `rdna3`, `m1`, …; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// What runs workgroups of its own: streaming multiprocessors, compute units, cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processors: Option<u32>,
    /// Registers of 32 bits in one processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registers: Option<u32>,
}

/// What tells one adapter from others.
pub(super) struct Names<'a> {
    /// A CPU that pretends to be a GPU.
    pub software: bool,
    /// PCI vendor id, or 0.
    pub vendor: u32,
    /// The adapter's name, and in a browser its vendor and architecture.
    pub name: &'a str,
    /// Driver, may be empty.
    pub driver: &'a str,
}

/// An architecture and the chips that have it: a word of the name, and processors, 0 where they vary.
struct Family {
    vendor: Vendor,
    architecture: &'static str,
    /// Registers of 32 bits in one processor, 0 where unknown.
    registers: u32,
    chips: &'static [(&'static str, u32)],
}

/// By the makers' white papers; a part of a name must come before any that it is a part of.
const FAMILIES: [Family; 13] = [
    Family {
        vendor: Vendor::Nvidia,
        architecture: "hopper",
        registers: 65536,
        chips: &[("h100 pcie", 114), ("h100", 132), ("h200", 132), ("gh200", 132)],
    },
    Family {
        vendor: Vendor::Nvidia,
        architecture: "blackwell",
        registers: 65536,
        chips: &[("b200", 148), ("rtx 5090", 170), ("rtx 5080", 84), ("rtx 5070 ti", 70), ("rtx 5070", 48)],
    },
    Family {
        vendor: Vendor::Nvidia,
        architecture: "ada",
        registers: 65536,
        chips: &[
            ("l40", 142),
            ("l4", 58),
            ("rtx 4090", 128),
            ("rtx 4080", 76),
            ("rtx 4070", 46),
            ("rtx 4060", 24),
        ],
    },
    Family {
        vendor: Vendor::Nvidia,
        architecture: "ampere",
        registers: 65536,
        chips: &[
            ("a100", 108),
            ("a10", 72),
            ("rtx 3090", 82),
            ("rtx 3080", 68),
            ("rtx 3070", 46),
            ("rtx 3060", 28),
            ("ampere", 0),
        ],
    },
    Family {
        vendor: Vendor::Nvidia,
        architecture: "turing",
        registers: 65536,
        chips: &[("t4", 40), ("rtx 2080 ti", 68), ("rtx 2080", 46), ("rtx 2070", 36), ("turing", 0)],
    },
    Family { vendor: Vendor::Nvidia, architecture: "volta", registers: 65536, chips: &[("v100", 80)] },
    Family {
        vendor: Vendor::Amd,
        architecture: "rdna4",
        registers: 98304,
        chips: &[("rx 9070 xt", 64), ("rx 9070", 56), ("gfx1201", 64), ("rdna-4", 0)],
    },
    Family {
        vendor: Vendor::Amd,
        architecture: "rdna3",
        registers: 98304,
        chips: &[
            ("rx 7900 xtx", 96),
            ("rx 7900", 84),
            ("navi31", 96),
            ("rx 7800", 60),
            ("navi32", 60),
            ("rdna-3", 0),
        ],
    },
    Family {
        vendor: Vendor::Amd,
        architecture: "rdna2",
        registers: 65536,
        chips: &[("rx 6900", 80), ("rx 6800 xt", 72), ("rx 6800", 60), ("navi21", 80), ("rdna-2", 0)],
    },
    Family { vendor: Vendor::Amd, architecture: "cdna3", registers: 131_072, chips: &[("mi300x", 304)] },
    // 208 KiB a core.
    Family {
        vendor: Vendor::Apple,
        architecture: "m1",
        registers: 53248,
        chips: &[("m1 ultra", 64), ("m1 max", 32), ("m1 pro", 16), ("m1", 8)],
    },
    Family {
        vendor: Vendor::Apple,
        architecture: "m2 to m4",
        registers: 53248,
        chips: &[
            ("m2 ultra", 76),
            ("m2 max", 38),
            ("m2 pro", 19),
            ("m2", 10),
            ("m3 ultra", 80),
            ("m3 max", 40),
            ("m3 pro", 18),
            ("m3", 10),
            ("m4 max", 40),
            ("m4 pro", 20),
            ("m4", 10),
        ],
    },
    Family {
        vendor: Vendor::Qualcomm,
        architecture: "a6xx",
        registers: 24576,
        chips: &[("adreno (tm) 630", 2), ("fd630", 2), ("adreno (tm) 640", 2), ("adreno (tm) 650", 3)],
    },
];

/// PCI vendor ids, and the words in names and drivers where there is none (Metal, browsers, OpenGL).
const VENDORS: [(Vendor, &[u32], &[&str]); 6] = [
    (Vendor::Nvidia, &[0x10de], &["nvidia", "geforce", "quadro", "tesla", "nvk"]),
    (Vendor::Amd, &[0x1002, 0x1022], &["amd", "radeon", "radv"]),
    (Vendor::Apple, &[0x106b], &["apple", "honeykrisp"]),
    (Vendor::Qualcomm, &[0x5143], &["qualcomm", "adreno", "turnip"]),
    (Vendor::Arm, &[0x13b5], &["arm", "mali", "panvk"]),
    (Vendor::Intel, &[0x8086], &["intel"]),
];

impl Hardware {
    /// By what an API tells: whether it is software, the PCI vendor id or 0, the adapter's name, its driver.
    pub fn named(software: bool, vendor: u32, name: &str, driver: &str) -> Self {
        Self::of(&Names { software, vendor, name, driver })
    }

    pub(super) fn of(names: &Names<'_>) -> Self {
        let vendor = vendor(names);
        let name = names.name.to_lowercase();
        let known = FAMILIES.iter().filter(|family| family.vendor == vendor).find_map(|family| {
            let (_, processors) = family.chips.iter().find(|(chip, _)| has_words(&name, chip))?;
            Some((family, *processors))
        });
        let some = |count: u32| (count > 0).then_some(count);
        known.map_or(Self { vendor, ..Self::default() }, |(family, processors)| Self {
            vendor,
            architecture: family.architecture.into(),
            processors: some(processors),
            registers: some(family.registers),
        })
    }
}

fn vendor(names: &Names<'_>) -> Vendor {
    if names.software {
        return Vendor::Software;
    }
    // A name says more than an id: Mesa's drivers have ids of their own for some devices.
    let text = format!("{} {}", names.name, names.driver).to_lowercase();
    let by_id = VENDORS.iter().find(|(_, ids, _)| ids.contains(&names.vendor));
    let by_word = || VENDORS.iter().find(|(_, _, words)| words.iter().any(|word| has_words(&text, word)));
    by_id.or_else(by_word).map_or(Vendor::Other, |(vendor, ..)| *vendor)
}

/// Whether `text` holds `words` with nothing of a word on either side: `m1` is not in `gm107`, nor in `m10`.
fn has_words(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, found)| {
        let of_a_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        !of_a_word(text[..at].chars().next_back()) && !of_a_word(text[at + found.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vendor: u32, name: &str, driver: &str) -> (Vendor, String, Option<u32>) {
        let found = Hardware::of(&Names { software: false, vendor, name, driver });
        (found.vendor, found.architecture, found.processors)
    }

    #[test]
    fn chips_are_known_by_id_name_or_driver() {
        let known = [
            (0x10de, "NVIDIA H100 80GB HBM3", "NVIDIA", (Vendor::Nvidia, "hopper", Some(132))),
            (0x10de, "NVIDIA H100 PCIe", "NVIDIA", (Vendor::Nvidia, "hopper", Some(114))),
            (0x10de, "NVIDIA GeForce RTX 3060 Laptop GPU", "NVIDIA", (Vendor::Nvidia, "ampere", Some(28))),
            (0x10de, "NVIDIA GeForce GTX 1080", "NVIDIA", (Vendor::Nvidia, "", None)),
            (0x1002, "AMD Radeon RX 7900 XTX (RADV NAVI31)", "radv", (Vendor::Amd, "rdna3", Some(96))),
            (0, "Apple M1 Max", "", (Vendor::Apple, "m1", Some(32))),
            (0, "apple metal-3", "", (Vendor::Apple, "", None)),
            (0, "nvidia ampere", "", (Vendor::Nvidia, "ampere", None)),
            (0x5143, "Adreno (TM) 630", "Qualcomm", (Vendor::Qualcomm, "a6xx", Some(2))),
            (0x8086, "Intel(R) Iris(R) Xe Graphics", "", (Vendor::Intel, "", None)),
            (0, "Mali-G78", "", (Vendor::Arm, "", None)),
            (0, "unnamed adapter", "", (Vendor::Other, "", None)),
            // No part of another word.
            (0, "charm GM1", "", (Vendor::Other, "", None)),
        ];
        for (id, name, driver, (vendor, architecture, processors)) in known {
            assert_eq!(of(id, name, driver), (vendor, architecture.to_string(), processors), "{name}");
        }
        let software = Names { software: true, vendor: 0x10005, name: "llvmpipe", driver: "llvmpipe" };
        assert_eq!(Hardware::of(&software).vendor, Vendor::Software);
    }

    #[test]
    fn a_chip_is_not_hidden_by_a_shorter_name() {
        for family in &FAMILIES {
            for (at, (chip, _)) in family.chips.iter().enumerate() {
                let hidden = family.chips[..at].iter().find(|(other, _)| has_words(chip, other));
                assert_eq!(hidden, None, "{chip}");
            }
        }
    }
}

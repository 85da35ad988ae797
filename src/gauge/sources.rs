//! The WGSL of a variant: the program's own, or what lies in a folder, so that a shader can be gauged as it is
//! edited.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::files::Whole;
use crate::kernels::Variant;
use crate::kernels::contract::preprocess::preprocess;

/// The WGSL of a variant; with `folder`, from there: `FAMILY/STEM.wgsl` and `shared/NAME.wgsl`.
///
/// # Errors
/// [`ErrorKind::Io`] for a shader that is not there; [`ErrorKind::Device`] for one that cannot be put together.
pub fn source(variant: &Variant, folder: Option<&Path>) -> Result<String> {
    let (Some(folder), Some(permutation)) = (folder, variant.permutation()) else {
        let none = || Error::new(ErrorKind::Device, format!("{} has no shader", variant.name()));
        return variant.source()?.ok_or_else(none);
    };
    let text = crate::files::read_text(&file(folder, permutation.stem)?, Whole::Settings)?;
    let shared =
        |name: &str| std::fs::read_to_string(folder.join("shared").join(format!("{name}.wgsl"))).ok();
    preprocess(&text, permutation.flags, &shared)
        .map_err(|what| Error::new(ErrorKind::Device, format!("shader {}: {what}", permutation.key)))
}

fn file(folder: &Path, stem: &str) -> Result<PathBuf> {
    let families = std::fs::read_dir(folder).map_err(|e| Error::io(folder.display(), &e))?;
    let name = format!("{stem}.wgsl");
    let files = families.filter_map(|family| Some(family.ok()?.path().join(&name)));
    files.filter(|file| file.is_file()).min().ok_or_else(|| {
        Error::new(ErrorKind::Io, format!("{}: no family has a {name}", folder.display()))
            .help("give a folder like the program's own shaders/")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::contract::shader::PERMUTATIONS;

    #[test]
    fn the_folder_of_the_program_gives_its_own_shaders() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        for permutation in PERMUTATIONS.iter().step_by(7) {
            let variant = Variant::of(permutation, vec![1.0; permutation.overrides.len()]);
            let [here, there] =
                [None, Some(&*folder)].map(|folder| source(&variant, folder).expect("a shader"));
            assert_eq!(here, there, "{}", permutation.key);
        }
        let nowhere = tempfile::tempdir().expect("a folder");
        let variant = Variant::of(&PERMUTATIONS[0], vec![1.0; PERMUTATIONS[0].overrides.len()]);
        assert!(source(&variant, Some(nowhere.path())).is_err_and(|e| e.message().contains("no family has")));
    }
}

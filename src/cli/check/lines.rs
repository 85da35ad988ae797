//! Where a check runs, and the file it writes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use pollster::block_on;
use polysketch::files::is_standard;
use polysketch::gpu::{AdapterRequest, Backend};
use polysketch::model::Engine;
use polysketch::{Error, Result};

use crate::cli::options::Common;
use crate::cli::progress::Progress;

/// Any adapter is better than none here: the CPU has nothing to check but its own rounding.
pub fn engine(common: &Common) -> Result<Engine> {
    let _spinner = Progress::spinner(common, "looking for adapters");
    if common.backend != Backend::Auto || common.request().adapter.is_some() {
        return block_on(Engine::create(&common.request()));
    }
    let on = |backend| block_on(Engine::create(&AdapterRequest { backend, adapter: None }));
    on(Backend::Gpu).or_else(|_| on(Backend::Cpu))
}

/// Lines of JSON, written as they come; none where no file is asked for.
pub struct Lines(Option<(PathBuf, Box<dyn Write>)>);

impl Lines {
    /// Opens the file, or stdout for `-`.
    pub fn create(path: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            if is_standard(path) {
                return Ok(("stdout".into(), Box::new(std::io::stdout()) as Box<dyn Write>));
            }
            let file = File::create(path).map_err(|e| Error::io(path.display(), &e))?;
            Ok((path.to_path_buf(), Box::new(file) as Box<dyn Write>))
        };
        path.map(open).transpose().map(Self)
    }

    /// Adds a line.
    pub fn add(&mut self, row: &serde_json::Value) -> Result<()> {
        let Some((path, file)) = &mut self.0 else { return Ok(()) };
        file.write_all(format!("{row}\n").as_bytes()).map_err(|e| Error::io(path.display(), &e))
    }
}

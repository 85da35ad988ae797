//! The folder of what can be computed again: `POLYSKETCH_CACHE_DIR` (`off` keeps nothing), or the user's own.

use std::path::PathBuf;

/// Where compiled pipelines, tunings and the tokens of texts are kept, if anywhere.
pub fn cache_dir() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    match set("POLYSKETCH_CACHE_DIR") {
        Some(dir) if dir == "off" => None,
        Some(dir) => Some(PathBuf::from(dir)),
        None => {
            let base = if cfg!(windows) {
                set("LOCALAPPDATA").map(PathBuf::from)
            } else {
                set("XDG_CACHE_HOME")
                    .map(PathBuf::from)
                    .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")))
            };
            Some(base?.join("polysketch"))
        }
    }
}

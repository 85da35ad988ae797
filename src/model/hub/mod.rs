//! Models by their names on the Hugging Face hub (SPEC §9), fetched into its standard cache.
//!
//! | file | what |
//! |---|---|
//! | `name.rs` | names, as they are given |
//! | `environment.rs` | what the environment says: endpoint, cache, token, offline |
//! | `cache.rs` | a model's folder in the cache: where its files lie, and who writes them |
//! | `choice.rs` | which files of a repository make a model |
//! | `request.rs` | one request: redirects, waiting, what is told of a file |
//! | `download.rs` | one file: resumed, checked, never a mixture |
//! | `content.rs` | whether bytes can be what their name says, where no hash tells |
//! | `failure.rs` | what the hub answers when it does not give a file, and what to do then |
//! | `fetch.rs` | from a name to a path |
//!
//! Of the crate `hf-hub` this takes the layout of the cache. It does not take its downloads: they wait for
//! ever on a connection that is dead, ignore for how long a hub asks to wait, and append a whole file to a
//! part of it where a server knows no ranges.

mod cache;
mod choice;
mod content;
mod download;
mod environment;
mod failure;
mod fetch;
mod name;
mod request;

pub use fetch::{Event, fetch};
pub use name::HubName;

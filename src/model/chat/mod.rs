//! Conversations: who said what, how a model writes that down, and how one goes on where it stands.
//!
//! | file | what |
//! |---|---|
//! | `message` | what is said |
//! | `template` | which template a model has |
//! | `jinja` | how it is rendered: as Hugging Face's library does |
//! | `python` | values as Python writes them |
//! | `conversation` | a conversation on a text of a session, of which only new tokens are read |

mod conversation;
mod jinja;
mod message;
mod python;
mod template;

pub use conversation::{Conversation, Reading};
pub use message::Message;
pub use template::ChatTemplate;
#[cfg(not(target_arch = "wasm32"))]
pub(super) use template::source;
pub(super) use template::tokens;

//! Conversations: who said what, how a model writes that down, and how one goes on where it stands.
//!
//! | file | what |
//! |---|---|
//! | `template` | which template a model has |
//! | `jinja` | how it is rendered: as Hugging Face's library does |
//! | `python` | values as Python writes them |
//! | `conversation` | a conversation on a text of a session, of which only new tokens are read |

mod conversation;
mod jinja;
mod python;
mod template;

pub use conversation::{Conversation, Reading};
pub(super) use template::tokens;
pub use template::{ChatTemplate, Message};

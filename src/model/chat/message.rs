//! What is said in a conversation.

use serde::{Deserialize, Serialize};

/// What somebody said in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who: `system`, `user`, `assistant`, or what else a template knows.
    pub role: String,
    /// What.
    pub content: String,
}

impl Message {
    /// What `role` said.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

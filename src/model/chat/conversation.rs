//! A conversation on a text of a session: only what is new of it is read.

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::template::ChatTemplate;
use crate::error::{Error, ErrorKind, Result};
use crate::model::coder::EncodeOptions;
use crate::model::sampling::Generated;
use crate::model::session::Session;
use crate::model::text_stream::Seam;
use crate::model::tokenizer::Tokenizer;

/// Messages, and how far a text of a session has read them. The way of an answer: [`Conversation::ask`], then
/// the session reads what that says, generates, and [`Conversation::answered`] takes what was said.
#[derive(Clone, Debug)]
pub struct Conversation {
    template: ChatTemplate,
    messages: Vec<Message>,
    /// What the session has read; none after something went wrong.
    read: Option<Read>,
    /// What it will have read when it has read what the last question asks for.
    next: String,
}

/// How far a session has read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Read {
    text: String,
    /// Tokens.
    position: usize,
}

/// A conversation as it is saved with the state of its text.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    messages: Vec<Message>,
    read: Read,
}

/// What a session reads before it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The tokens.
    pub ids: Vec<u32>,
    /// Whether the text is begun anew: the template does not write the conversation so far as the session has
    /// read it.
    pub afresh: bool,
}

impl Conversation {
    /// A conversation in which nothing was said, of a text that is empty; `system`: what the model is told
    /// before.
    pub fn new(template: ChatTemplate, system: Option<&str>) -> Self {
        let messages = system.map(|text| Message::new("system", text)).into_iter().collect();
        Self { template, messages, read: None, next: String::new() }
    }

    /// Writes the conversation down in another way from now on.
    pub fn set_template(&mut self, template: ChatTemplate) {
        self.template = template;
    }

    /// What was said.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Takes a question and empties the text of `slot` where it must be read anew. The session is to read the
    /// tokens and to answer.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] where the template refuses the question; the conversation is then as before.
    pub fn ask(&mut self, session: &mut Session, slot: usize, question: &str) -> Result<Reading> {
        self.messages.push(Message::new("user", question));
        let reading = self.reading(session, slot);
        if reading.is_err() {
            self.messages.pop();
        }
        reading
    }

    /// The same with all messages of the conversation, whatever was said before: what the session has read of
    /// them is not read again.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for no messages, or such as the template refuses; the conversation is then as
    /// before.
    pub fn ask_all(&mut self, session: &mut Session, slot: usize, messages: Vec<Message>) -> Result<Reading> {
        if messages.is_empty() {
            let error = Error::new(ErrorKind::Input, "a conversation of no messages");
            return Err(error.help("give at least one: { role: \"user\", content: \"…\" }"));
        }
        let before = std::mem::replace(&mut self.messages, messages);
        let reading = self.reading(session, slot);
        if reading.is_err() {
            self.messages = before;
        }
        reading
    }

    fn reading(&mut self, session: &mut Session, slot: usize) -> Result<Reading> {
        let tokenizer = session.model().tokenizer()?.clone();
        let whole = self.template.render(&self.messages, true)?;
        let read = self.read.take().filter(|read| read.position == session.position(slot));
        // What is left must be something: the session answers from its last token.
        let new = read
            .as_ref()
            .and_then(|read| whole.strip_prefix(read.text.as_str()))
            .filter(|new| !new.is_empty());
        let began = read.is_some() && self.messages.iter().any(|message| message.role == "assistant");
        let encode = |text: &str, continues| {
            tokenizer.encode_as(text, EncodeOptions { continues, ..EncodeOptions::default() }, &mut |_| {})
        };
        let (ids, afresh) = match new {
            Some(new) => (encode(new, true), false),
            None => (encode(&whole, false), true),
        };
        let some = |ids: Vec<u32>| if ids.is_empty() { Err(nothing()) } else { Ok(ids) };
        let ids = match ids.and_then(some) {
            Ok(ids) => ids,
            Err(error) => {
                self.read = read;
                return Err(error);
            }
        };
        if afresh {
            session.reset(slot);
        }
        self.next = whole;
        Ok(Reading { ids, afresh: afresh && began })
    }

    /// Takes the answer: what was generated, which the session has written after it read the question. Returns
    /// the rest of its text, which was held back.
    ///
    /// # Errors
    /// As [`Model::tokenizer`](crate::model::Model::tokenizer).
    pub fn answered(&mut self, session: &mut Session, slot: usize, done: &mut Generated) -> Result<String> {
        let rest = session.finish_text(slot);
        done.text.push_str(&rest);
        let tokenizer = session.model().tokenizer()?;
        let text = std::mem::take(&mut self.next) + &written(tokenizer, &done.ids);
        self.read = Some(Read { text, position: session.position(slot) });
        self.messages.push(Message::new("assistant", done.text.clone()));
        Ok(rest)
    }

    /// Takes the last question back: the session did not read it to its end. The next one is read anew.
    pub fn take_back(&mut self) {
        if self.messages.last().is_some_and(|message| message.role == "user") {
            self.messages.pop();
        }
        self.read = None;
    }

    /// Forgets what was said, and says something else before, or the same.
    pub fn reset(&mut self, system: Option<&str>) {
        *self = Self::new(self.template.clone(), system);
    }

    /// What the model is told before.
    pub fn system(&self) -> Option<&str> {
        self.messages
            .first()
            .filter(|message| message.role == "system")
            .map(|message| message.content.as_str())
    }

    /// The conversation with its text, to be loaded by [`Conversation::load`].
    ///
    /// # Errors
    /// As [`Session::save`].
    pub async fn save(&self, session: &mut Session, slot: usize) -> Result<Vec<u8>> {
        let saved = Saved { messages: self.messages.clone(), read: self.read.clone().unwrap_or_default() };
        session.set_note(slot, serde_json::to_string(&saved).unwrap_or_default());
        session.save(slot).await
    }

    /// Goes on with a conversation that was saved.
    ///
    /// # Errors
    /// As [`Session::load`]; [`ErrorKind::State`] for a text that is no conversation. The text of the session
    /// may then be another; the conversation is read anew.
    pub async fn load(
        &mut self,
        session: &mut Session,
        slot: usize,
        bytes: &[u8],
        label: &str,
    ) -> Result<()> {
        session.load(slot, bytes, label).await?;
        if self.resume(session, slot) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::State, format!("{label}: holds a text, not a conversation"))
            .help("continue it as a text that is no chat"))
    }

    /// Goes on with the conversation that a text of the session is, if it was saved as one. Returns whether it
    /// was; one that was not is read anew.
    pub fn resume(&mut self, session: &Session, slot: usize) -> bool {
        let saved: Option<Saved> = serde_json::from_str(session.note(slot)).ok();
        let Some(saved) = saved else {
            self.read = None;
            return false;
        };
        // Where another command went on with it, the position is another, and all is read anew.
        (self.messages, self.read, self.next) = (saved.messages, Some(saved.read), String::new());
        true
    }
}

fn nothing() -> Error {
    Error::new(ErrorKind::Input, "the chat template writes nothing: there is nothing to answer")
        .help("write another template and give that one")
}

/// What ids add to a text.
fn written(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.text_stream_from(Seam { begun: true, ..Seam::default() });
    let mut text: String = ids.iter().filter_map(|id| stream.push(*id)).collect();
    text.extend(stream.finish());
    text
}

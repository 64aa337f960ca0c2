//! How states and contexts are written for a store, and read back.
use std::{
    any::type_name,
    fmt,
    sync::{Arc, LazyLock},
};

use memchr::memmem::Finder;
use serde::{Serialize, de::DeserializeOwned};

use crate::{State, StateId, Workflow};

mod lossless;

/// A value as a store keeps it. Cloning it copies no data.
pub enum Saved<T> {
    /// There is nothing to keep: a state without fields.
    Nothing,
    /// As JSON, for stores that outlive the process.
    Json(Arc<str>),
    /// As it is, for the memory store.
    Value(Arc<T>),
}

impl<T> Clone for Saved<T> {
    fn clone(&self) -> Self {
        match self {
            Saved::Nothing => Saved::Nothing,
            Saved::Json(text) => Saved::Json(text.clone()),
            Saved::Value(value) => Saved::Value(value.clone()),
        }
    }
}

impl<T> fmt::Debug for Saved<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Saved::Nothing => f.write_str("nothing"),
            Saved::Json(text) => f.write_str(text),
            Saved::Value(_) => f.write_str(type_name::<T>()),
        }
    }
}

/// Which form of [`Saved`] a store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// [`Saved::Json`].
    Json,
    /// [`Saved::Value`].
    Value,
}

/// A value that JSON cannot hold without loss, such as a NaN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{type_name}` cannot be saved: {at}{reason}")]
pub struct Unwritable {
    pub(crate) type_name: &'static str,
    /// `field `a.b[3]` `, or nothing.
    pub(crate) at: String,
    pub(crate) reason: String,
}

/// A saved text that does not fit today's type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("saved text does not fit `{type_name}`: {reason}")]
pub struct Unreadable {
    pub(crate) type_name: &'static str,
    pub(crate) reason: String,
}

/// What JSON loses is written so. Made once: that takes longer than to search a short text.
static NULL: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("null"));

/// Writes a value as JSON, or says which of its fields JSON cannot hold.
pub fn write<T: Serialize>(value: &T) -> Result<String, Unwritable> {
    match serde_json::to_string(value) {
        // Whatever is lost on the way is written as `null`, so most values need no second look.
        Ok(text) if NULL.find(text.as_bytes()).is_none() => Ok(text),
        Ok(text) => lossless::check(value).map(|()| text),
        Err(e) => {
            let of_no_field = |e: serde_json::Error| Unwritable {
                type_name: type_name::<T>(),
                at: String::new(),
                reason: e.to_string(),
            };
            Err(lossless::check(value).err().unwrap_or_else(|| of_no_field(e)))
        }
    }
}

/// Reads a value back.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|e| Unreadable { type_name: type_name::<T>(), reason: e.to_string() })
}

/// What the engine needs to know of the types of a workflow: plain functions, so that the bounds are asked for
/// in one place.
#[doc(hidden)]
pub struct Codec<W: Workflow> {
    pub(crate) clone_state: fn(&W) -> W,
    pub(crate) job: Context<W::Job>,
    pub(crate) overall: Context<W::Overall>,
}

/// The functions of one context.
#[doc(hidden)]
pub struct Context<C> {
    clone: fn(&C) -> C,
    write: fn(&C) -> Result<String, Unwritable>,
    read: fn(&str) -> Result<C, Unreadable>,
}

impl<C> Context<C> {
    pub(crate) const fn new() -> Self
    where
        C: Clone + Serialize + DeserializeOwned,
    {
        Context { clone: C::clone, write: write::<C>, read: read::<C> }
    }

    pub(crate) fn save(&self, form: Form, value: &C) -> Result<Saved<C>, Unwritable> {
        match form {
            Form::Json => (self.write)(value).map(|text| Saved::Json(text.into())),
            Form::Value => Ok(Saved::Value(Arc::new((self.clone)(value)))),
        }
    }

    pub(crate) fn load(&self, saved: &Saved<C>) -> Result<C, Unreadable> {
        match saved {
            Saved::Nothing => (self.read)("null"),
            Saved::Json(text) => (self.read)(text),
            Saved::Value(value) => Ok((self.clone)(value)),
        }
    }

    /// The JSON text.
    pub(crate) fn text(&self, saved: &Saved<C>) -> Result<Arc<str>, Unwritable> {
        match saved {
            Saved::Nothing => Ok("null".into()),
            Saved::Json(text) => Ok(text.clone()),
            Saved::Value(value) => (self.write)(value).map(Into::into),
        }
    }
}

/// Saves a state and gives it back.
pub(crate) fn save_state<W: Workflow>(form: Form, state: W) -> (W, Result<Saved<W>, Unwritable>) {
    match form {
        Form::Json => {
            let (state, text) = state.save();
            let saved = |text: Option<String>| text.map_or(Saved::Nothing, |t| Saved::Json(t.into()));
            (state, text.map(saved))
        }
        Form::Value if !StateId::of(&state).spec().fields => (state, Ok(Saved::Nothing)),
        Form::Value => {
            let copy = (W::CODEC.clone_state)(&state);
            (state, Ok(Saved::Value(Arc::new(copy))))
        }
    }
}

/// Reads a state back under today's name.
pub(crate) fn load_state<W: Workflow>(name: &str, saved: &Saved<W>) -> Result<W, Unreadable> {
    let text = match saved {
        Saved::Value(state) => return Ok((W::CODEC.clone_state)(state)),
        Saved::Json(text) => Some(&**text),
        Saved::Nothing => None,
    };
    W::load(name, text).unwrap_or_else(|| {
        let reason = format!("there is no state `{name}`");
        Err(Unreadable { type_name: type_name::<W>(), reason })
    })
}

/// The fields of a state as JSON; nothing for a state without fields.
pub(crate) fn state_text<W: Workflow>(saved: &Saved<W>) -> Result<Option<Arc<str>>, Unwritable> {
    match saved {
        Saved::Nothing => Ok(None),
        Saved::Json(text) => Ok(Some(text.clone())),
        Saved::Value(state) => (W::CODEC.clone_state)(state).save().1.map(|text| text.map(Into::into)),
    }
}

/// For the macros: the data of state `S`.
pub fn read_state<S: State + DeserializeOwned>(data: Option<&str>) -> Result<S::Workflow, Unreadable> {
    read::<S>(data.unwrap_or("null")).map(Into::into)
}

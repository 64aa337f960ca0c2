//! Keys of one attribute: unknown, misplaced and repeated ones are told apart.
use std::collections::BTreeMap;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Token;
use syn::meta::ParseNestedMeta;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;

use crate::error::{Errors, did_you_mean};

/// Where an attribute stands.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Enum,
    Variant,
    /// With the state of the handler.
    Handler(&'a str),
    Limiter,
    Batch,
}

impl Place<'_> {
    const ALL: [Place<'static>; 5] =
        [Place::Enum, Place::Variant, Place::Handler(".."), Place::Limiter, Place::Batch];

    fn keys(self) -> &'static [&'static str] {
        match self {
            Place::Enum => &["app", "overall", "job", "name", "states"],
            Place::Variant => &["initial", "terminal", "next", "kick", "on_failure", "alias"],
            Place::Handler(_) => &[
                "concurrency",
                "rate",
                "burst",
                "retries",
                "backoff",
                "retry_if",
                "give_up_after",
                "timeout",
                "crashes",
                "limits",
                "batch",
            ],
            Place::Limiter => &["rate", "burst", "concurrency", "weighted", "keyed"],
            Place::Batch => &["max", "wait", "per_job"],
        }
    }

    /// Where to move a key that stands here to.
    fn hint(self, home: Place<'_>) -> String {
        match (home, self) {
            (Place::Enum, _) => "belongs on the enum, in `#[workflow(..)]`".to_owned(),
            (Place::Variant, Place::Handler(state)) => {
                format!("belongs on the variant `{state}` of the enum, not on a function")
            }
            (Place::Variant, _) => "belongs on a variant, in `#[state(..)]`".to_owned(),
            (Place::Handler(_), Place::Batch) => "stands beside `batch(..)`, not in it".to_owned(),
            (Place::Handler(_), Place::Variant) => {
                "belongs on the handler function, not on the variant".to_owned()
            }
            (Place::Handler(_), _) => "belongs on a handler function, in `#[state(..)]`".to_owned(),
            (Place::Limiter, _) => "belongs on a limiter, in `#[limiter(..)]`".to_owned(),
            (Place::Batch, _) => "belongs in `batch(..)`: `batch(max = 100, wait = \"2s\")`".to_owned(),
        }
    }
}

pub(super) struct Keys<'a> {
    place: Place<'a>,
    seen: BTreeMap<String, Span>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(place: Place<'a>) -> Self {
        Keys { place, seen: BTreeMap::new() }
    }

    /// Where `key` was given, in this place or in a wrong one.
    pub(super) fn seen(&self, key: &str) -> Option<Span> {
        self.seen.get(key).copied()
    }

    /// Runs `read` for every key; a bad key does not hide the next one.
    pub(super) fn each(
        &mut self,
        tokens: TokenStream,
        errors: &mut Errors,
        mut read: impl FnMut(&str, &ParseNestedMeta<'_>) -> syn::Result<()>,
    ) {
        let parser = syn::meta::parser(|meta| {
            if let Err(e) = self.check(&meta).and_then(|key| read(&key, &meta)) {
                errors.push(e);
                skip_value(meta.input)?;
            }
            Ok(())
        });
        if let Err(e) = parser.parse2(tokens) {
            errors.push(e);
        }
    }

    fn check(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
        let key = meta.path.to_token_stream().to_string().replace(' ', "");
        let known = self.place.keys();
        if !known.contains(&key.as_str()) {
            if let Some(home) = Place::ALL.into_iter().find(|p| p.keys().contains(&key.as_str())) {
                self.seen.insert(key.clone(), meta.path.span());
                return Err(meta.error(format!("`{key}` {}", self.place.hint(home))));
            }
            let close = did_you_mean(&key, known.iter().copied());
            let known = known.join("`, `");
            return Err(meta.error(format!("unknown key `{key}`{close} (known keys: `{known}`)")));
        }
        let again = self.seen.insert(key.clone(), meta.path.span()).is_some();
        if again && key != "alias" {
            return Err(meta.error(format!("`{key}` is given twice")));
        }
        Ok(key)
    }
}

/// Skips the value of a key we could not use, so the next key is still read.
fn skip_value(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

//! How jobs come together in batches.
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::Ident;
use syn::meta::ParseNestedMeta;

use super::keys::{Keys, Place};
use super::policy::{example, text, ungrouped, whole};
use super::{mark, value};
use crate::error::Errors;

/// What stands in `batch(..)`.
pub(super) struct Batch {
    /// Already printed as Rust.
    pub(super) batching: TokenStream,
    pub(super) max: TokenStream,
    pub(super) per_job: bool,
}

/// `(max = 100, wait = "2s", per_job)`
pub(super) fn batch(meta: &ParseNestedMeta<'_>) -> syn::Result<Batch> {
    const SHAPE: &str = "`batch` says how many jobs a step takes: `batch(max = 100, wait = \"2s\")`";
    if !meta.input.peek(syn::token::Paren) {
        return Err(meta.error(SHAPE));
    }
    let content;
    syn::parenthesized!(content in meta.input);
    let tokens: TokenStream = content.parse()?;
    if let Some(TokenTree::Literal(number)) = tokens.clone().into_iter().next() {
        return Err(syn::Error::new(number.span(), SHAPE));
    }
    let mut errors = Errors::default();
    let (mut max, mut rest, mut per_job) = (None, TokenStream::new(), false);
    let mut keys = Keys::new(Place::Batch);
    keys.each(tokens, &mut errors, |key, meta| {
        let name = Ident::new(key, Span::call_site());
        if key == "per_job" {
            per_job = mark(meta)?;
            rest.extend(quote!(.#name()));
            return Ok(());
        }
        let value = ungrouped(value(meta, key, example(key))?.parse()?);
        if key == "max" {
            max = Some(whole(key, &value, 1)?);
        } else {
            let wait = text(key, &value)?;
            rest.extend(quote!(.#name(#wait)));
        }
        Ok(())
    });
    if errors.is_empty() && max.is_none() {
        errors.push(meta.error(SHAPE));
    }
    errors.into_result()?;
    let max = max.unwrap_or_default();
    Ok(Batch { batching: quote!(::jorb::Batching::new(#max)#rest), max, per_job })
}

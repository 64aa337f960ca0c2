//! What stands in `#[workflow(..)]` and in `#[state(..)]`.
use proc_macro2::{Span, TokenStream};
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Ident, LitStr, Meta, Token, Type};

use crate::error::Errors;
use keys::{Keys, Place};

mod keys;
mod policy;

pub(crate) use policy::policy;

#[derive(Default)]
pub(crate) struct WorkflowArgs {
    pub(crate) app: Option<Type>,
    pub(crate) overall: Option<Type>,
    pub(crate) job: Option<Type>,
    pub(crate) name: Option<LitStr>,
    pub(crate) states: Option<Ident>,
}

pub(crate) fn workflow(tokens: TokenStream, errors: &mut Errors) -> WorkflowArgs {
    let mut args = WorkflowArgs::default();
    Keys::new(Place::Enum).each(tokens, errors, |key, meta| {
        match key {
            "app" => args.app = Some(meta.value()?.parse()?),
            "overall" => args.overall = Some(meta.value()?.parse()?),
            "job" => args.job = Some(meta.value()?.parse()?),
            "name" => args.name = Some(text(meta, "crawl")?),
            _ => args.states = Some(meta.value()?.parse()?),
        }
        Ok(())
    });
    args
}

#[derive(Default)]
pub(crate) struct VariantArgs {
    pub(crate) initial: bool,
    pub(crate) terminal: bool,
    pub(crate) next: Vec<Ident>,
    pub(crate) kick: Vec<Ident>,
    pub(crate) aliases: Vec<LitStr>,
    /// Some of it could not be read: what is missing may be there.
    pub(crate) broken: bool,
}

/// Reads the `#[state(..)]`s of a variant and removes them.
pub(crate) fn take_variant(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> VariantArgs {
    let mut args = VariantArgs::default();
    let mut keys = Keys::new(Place::Variant);
    let before = errors.len();
    attrs.retain(|attr| {
        let ours = attr.path().segments.last().is_some_and(|s| s.ident == "state");
        if ours {
            match &attr.meta {
                Meta::List(list) => variant(list.tokens.clone(), &mut keys, errors, &mut args),
                Meta::Path(_) => {}
                Meta::NameValue(pair) => {
                    errors.push(syn::Error::new(pair.eq_token.span(), "expected `#[state(..)]`"));
                }
            }
        }
        !ours
    });
    args.broken = errors.len() > before;
    args
}

fn variant(tokens: TokenStream, keys: &mut Keys<'_>, errors: &mut Errors, args: &mut VariantArgs) {
    keys.each(tokens, errors, |key, meta| {
        match key {
            "initial" => args.initial = mark(meta)?,
            "terminal" => args.terminal = mark(meta)?,
            "next" => args.next = names(key, meta)?,
            "kick" => args.kick = names(key, meta)?,
            _ => args.aliases.push(text(meta, "OldName")?),
        }
        Ok(())
    });
}

/// A key that stands alone.
fn mark(meta: &ParseNestedMeta<'_>) -> syn::Result<bool> {
    if meta.input.is_empty() || meta.input.peek(Token![,]) {
        return Ok(true);
    }
    let key = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
    Err(meta.input.error(format!("`{key}` takes no value")))
}

/// `(Parse, Gone)`
fn names(key: &str, meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<Ident>> {
    if !meta.input.peek(syn::token::Paren) {
        return Err(meta.error(format!("`{key}` lists states in parentheses: `{key}(Fetch, Done)`")));
    }
    let content;
    syn::parenthesized!(content in meta.input);
    let names = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?;
    if names.is_empty() {
        return Err(syn::Error::new(
            meta.path.span(),
            format!("`{key}()` lists no state: name some, like `{key}(Fetch, Done)`, or drop it"),
        ));
    }
    Ok(names.into_iter().collect())
}

/// `= "text"`
fn text(meta: &ParseNestedMeta<'_>, example: &str) -> syn::Result<LitStr> {
    let key = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
    let wanted = |at: Span| syn::Error::new(at, format!("`{key}` is a text: `{key} = \"{example}\"`"));
    let value = meta.value().map_err(|_| wanted(meta.path.span()))?;
    let at = value.span();
    let text: LitStr = value.parse().map_err(|_| wanted(at))?;
    if text.value().is_empty() { Err(wanted(at)) } else { Ok(text) }
}

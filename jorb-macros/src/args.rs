//! What stands in `#[workflow(..)]` and in `#[state(..)]`.
use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Ident, LitStr, Meta, Path, Token, Type};

use crate::attrs::mentions;
use crate::error::Errors;
use keys::{Keys, Place};

mod batch;
mod keys;
mod limiter;
mod policy;

pub(crate) use limiter::{LimiterArgs, limiter};
pub(crate) use policy::{PolicyArgs, policy};

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
            "app" => args.app = Some(value(meta, key, "App")?.parse()?),
            "overall" => args.overall = Some(value(meta, key, "Site")?.parse()?),
            "job" => args.job = Some(value(meta, key, "Page")?.parse()?),
            "name" => args.name = Some(text(meta, key, "\"crawl\"")?),
            _ => args.states = Some(module(meta, key)?),
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
    pub(crate) on_failure: Option<Ident>,
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
        if attr.path().is_ident("cfg_attr") && mentions(attr, &["state"]) {
            errors.at(
                attr.path(),
                "`#[state(..)]` cannot stand in a `cfg_attr`: put a `#[cfg(..)]` on the variant",
            );
            return false;
        }
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
            "on_failure" => args.on_failure = Some(name(key, meta)?),
            _ => args.aliases.push(text(meta, key, "\"OldName\"")?),
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
    let shape = format!("`{key}` lists states in parentheses: `{key}(Fetch, Done)`");
    let names = idents(meta, &shape, &format!("`{key}` lists states by name: `{key}(Fetch, Done)`"))?;
    if names.is_empty() {
        return Err(syn::Error::new(
            meta.path.span(),
            format!("`{key}()` lists no state: name some, like `{key}(Fetch, Done)`, or drop it"),
        ));
    }
    Ok(names)
}

/// `(Gone)`
fn name(key: &str, meta: &ParseNestedMeta<'_>) -> syn::Result<Ident> {
    let shape = format!("`{key}` names a state in parentheses: `{key}(Gone)`");
    let names = idents(meta, &shape, &format!("`{key}` names a state: `{key}(Gone)`"))?;
    let mut names = names.into_iter();
    let missing = || syn::Error::new(meta.path.span(), format!("`{key}()` names no state: `{key}(Gone)`"));
    let first = names.next().ok_or_else(missing)?;
    match names.next() {
        Some(other) => Err(syn::Error::new(
            other.span(),
            format!("`{key}` names one state: a job that failed for good goes to `{first}` only"),
        )),
        None => Ok(first),
    }
}

/// Names in parentheses; `shape` says that they are missing, `wanted` that something else is in them.
fn idents(meta: &ParseNestedMeta<'_>, shape: &str, wanted: &str) -> syn::Result<Vec<Ident>> {
    let name = |path: Path| path.get_ident().cloned().ok_or_else(|| syn::Error::new(path.span(), wanted));
    paths(meta, shape, wanted)?.into_iter().map(name).collect()
}

/// The same, with modules.
fn paths(meta: &ParseNestedMeta<'_>, shape: &str, wanted: &str) -> syn::Result<Vec<Path>> {
    if !meta.input.peek(syn::token::Paren) {
        return Err(meta.error(shape));
    }
    let content;
    syn::parenthesized!(content in meta.input);
    let tokens: TokenStream = content.parse()?;
    let paths = Punctuated::<Path, Token![,]>::parse_terminated.parse2(tokens);
    Ok(paths.map_err(|e| syn::Error::new(e.span(), wanted))?.into_iter().collect())
}

/// What stands after the `=` of a key.
fn value<'a>(meta: &ParseNestedMeta<'a>, key: &str, example: &str) -> syn::Result<ParseStream<'a>> {
    let missing = || syn::Error::new(meta.path.span(), format!("`{key}` needs a value: `{key} = {example}`"));
    let value = meta.value().map_err(|_| missing())?;
    if value.is_empty() || value.peek(Token![,]) { Err(missing()) } else { Ok(value) }
}

fn text(meta: &ParseNestedMeta<'_>, key: &str, example: &str) -> syn::Result<LitStr> {
    let value = value(meta, key, example)?;
    let at = value.span();
    let text: LitStr =
        value.parse().map_err(|_| syn::Error::new(at, format!("`{key}` is a text: `{key} = {example}`")))?;
    if text.value().is_empty() {
        return Err(syn::Error::new(at, format!("`{key}` cannot be empty: `{key} = {example}`")));
    }
    Ok(text)
}

fn module(meta: &ParseNestedMeta<'_>, key: &str) -> syn::Result<Ident> {
    let value = value(meta, key, "crawling")?;
    let at = value.span();
    value.parse().map_err(|_| syn::Error::new(at, format!("`{key}` names a module: `{key} = crawling`")))
}

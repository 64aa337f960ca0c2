//! The keys of a limiter, printed as the spec they make; and the limiters that a handler names.
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Ident, Path};

use super::keys::{Keys, Place};
use super::policy::{example, rate, ungrouped, whole};
use super::{mark, paths, value};
use crate::error::Errors;

/// What a limiter allows.
pub(crate) struct LimiterArgs {
    /// Already printed as Rust.
    pub(crate) spec: TokenStream,
    pub(crate) weighted: bool,
    pub(crate) keyed: bool,
}

pub(crate) fn limiter(tokens: TokenStream, errors: &mut Errors) -> LimiterArgs {
    let mut keys = Keys::new(Place::Limiter);
    let mut spec = TokenStream::new();
    let (mut weighted, mut keyed) = (false, false);
    let before = errors.len();
    keys.each(tokens, errors, |key, meta| {
        let name = Ident::new(key, Span::call_site());
        if key == "weighted" || key == "keyed" {
            let marked = mark(meta)?;
            (weighted, keyed) = if key == "keyed" { (weighted, marked) } else { (marked, keyed) };
            spec.extend(quote!(.#name()));
            return Ok(());
        }
        let value = ungrouped(value(meta, key, example(key))?.parse()?);
        if key == "rate" {
            spec.extend(rate(&value)?);
        } else {
            let setting = whole(key, &value, 1)?;
            spec.extend(quote!(.#name(#setting)));
        }
        Ok(())
    });
    for key in ["burst", "weighted"] {
        if let (Some(at), None) = (keys.seen(key), keys.seen("rate")) {
            errors.push(syn::Error::new(at, format!("`{key}` has no effect without `rate`")));
        }
    }
    if errors.len() == before && keys.seen("rate").or(keys.seen("concurrency")).is_none() {
        errors.push(syn::Error::new(
            Span::call_site(),
            "this limits nothing: give a `rate`, a `concurrency` or both, like `#[limiter(rate = \"10/s\")]`",
        ));
    }
    LimiterArgs { spec, weighted, keyed }
}

/// `(GitHub, limits::Tokens)`
pub(super) fn limiters(key: &str, meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<Path>> {
    let wanted = format!("`{key}` lists limiters in parentheses: `{key}(GitHub, Tokens)`");
    let limiters = paths(meta, &wanted, &wanted)?;
    if limiters.is_empty() {
        let why = format!("`{key}()` lists no limiter: name some, or drop it");
        return Err(syn::Error::new(meta.path.span(), why));
    }
    let text = |path: &Path| path.to_token_stream().to_string();
    let again = |(n, path): &(usize, &Path)| limiters[..*n].iter().any(|other| text(other) == text(path));
    match limiters.iter().enumerate().find(again) {
        Some((_, twice)) => Err(syn::Error::new_spanned(twice, "this limiter is named twice")),
        None => Ok(limiters),
    }
}

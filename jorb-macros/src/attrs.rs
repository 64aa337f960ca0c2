//! Which of the enum's own attributes go to the structs, and which of them stay.
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::punctuated::Punctuated;
use syn::{Attribute, ItemEnum, Meta, Path, Token};

use crate::error::Errors;
use crate::model::State;

pub(crate) fn pick(attrs: &[Attribute], names: &[&str]) -> Vec<Attribute> {
    attrs.iter().filter(|a| names.iter().any(|n| a.path().is_ident(n))).cloned().collect()
}

/// What a field of a struct keeps of the variant's: how it is saved is said there.
pub(crate) fn of_field(attrs: &[Attribute]) -> Vec<Attribute> {
    let kept = |a: &&Attribute| is_serde(a) || ["doc", "cfg"].iter().any(|n| a.path().is_ident(n));
    attrs.iter().filter(kept).cloned().collect()
}

/// Of each variant, what it says to serde of its fields as a whole; the structs have that, and the fields'
/// attributes, so the enum keeps them only if it derives serde itself.
pub(crate) fn take_serde(item: &mut ItemEnum, errors: &mut Errors) -> Vec<Vec<Meta>> {
    let own = item.attrs.iter().any(|a| mentions(a, &["Serialize", "Deserialize"]));
    if let Some(attr) = item.attrs.iter().find(|a| a.path().is_ident("serde"))
        && !own
    {
        errors.at(
            attr.path(),
            "the enum itself is not saved: `#[serde(..)]` belongs on a field, or `rename_all` on a variant",
        );
        item.attrs.retain(|a| !is_serde(a));
    }
    let mut of_variants = Vec::new();
    for variant in &mut item.variants {
        of_variants.push(of_variant(&mut variant.attrs, own, errors));
    }
    of_variants
}

/// A state is saved under its variant's name, as the fields of its struct.
fn of_variant(attrs: &mut Vec<Attribute>, own: bool, errors: &mut Errors) -> Vec<Meta> {
    /// What serde takes on a variant and on a struct, and only on a struct.
    const BOTH: &[&str] = &["rename_all", "bound"];
    const STRUCT: &[&str] = &["default", "deny_unknown_fields"];
    let mut copied = Vec::new();
    attrs.retain_mut(|attr| {
        if !attr.path().is_ident("serde") {
            return own || !is_serde(attr);
        }
        let Ok(metas) = attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else {
            return true; // for serde to report
        };
        let is = |meta: &Meta, keys: &[&str]| keys.iter().any(|key| meta.path().is_ident(key));
        for meta in &metas {
            if is(meta, BOTH) || is(meta, STRUCT) {
                copied.push(meta.clone());
            } else {
                let instead = if is(meta, &["rename", "alias"]) {
                    "; for a renamed variant write `#[state(alias = \"OldName\")]`"
                } else {
                    ""
                };
                let key = meta.path().to_token_stream();
                let why = "every state is saved, under its variant's name, as its fields";
                errors.at(&key, format!("serde's `{key}` cannot be used here: {why}{instead}"));
            }
        }
        let kept: Punctuated<&Meta, Token![,]> = metas.iter().filter(|m| !is(m, STRUCT)).collect();
        if let Meta::List(list) = &mut attr.meta {
            list.tokens = kept.to_token_stream();
        }
        own && !kept.is_empty()
    });
    copied
}

/// Takes serde's attributes off the fields of an enum that does not derive it.
pub(crate) fn strip_fields(item: &mut ItemEnum) {
    if item.attrs.iter().any(|a| mentions(a, &["Serialize", "Deserialize"])) {
        return;
    }
    for field in item.variants.iter_mut().flat_map(|v| &mut v.fields) {
        field.attrs.retain(|a| !is_serde(a));
    }
}

/// Derives that are safe to repeat on the struct of `state`: what holds of all variants holds of one.
pub(crate) fn derives(item: &ItemEnum, state: &State, span: Span) -> TokenStream {
    /// Each with those that it needs and that may have been written by hand.
    const COPIED: &[(&str, &[&str])] = &[
        ("Debug", &[]),
        ("Clone", &[]),
        ("Copy", &["Clone"]),
        ("PartialEq", &[]),
        ("Eq", &["PartialEq"]),
        ("PartialOrd", &["PartialEq"]),
        ("Ord", &["PartialOrd", "Eq", "PartialEq"]),
        ("Hash", &[]),
    ];
    let mut given: Vec<Path> = Vec::new();
    for attr in item.attrs.iter().filter(|a| a.path().is_ident("derive")) {
        given.extend(
            attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated).into_iter().flatten(),
        );
    }
    // Another crate's `Debug` may need attributes that we do not copy.
    given.retain(|p| p.segments.len() == 1 || p.segments[0].ident == "std" || p.segments[0].ident == "core");
    let name = |p: &Path| p.segments.last().map(|s| s.ident.to_string()).unwrap_or_default();
    let names: Vec<String> = given.iter().map(name).collect();
    let has = |needed: &str| names.iter().any(|n| n == needed);
    let mut kept: Vec<&Path> = given
        .iter()
        .filter(|p| COPIED.iter().any(|(n, needs)| *n == name(p) && needs.iter().all(|n| has(n))))
        .collect();
    // Of an enum that has it, one variant without fields is the default; of the others nothing is known.
    kept.extend(given.iter().filter(|p| name(p) == "Default" && state.fields.is_empty()));
    quote_spanned! {span=>
        #[derive(#(#kept,)* ::jorb::__private::serde::Serialize, ::jorb::__private::serde::Deserialize)]
        #[serde(crate = "::jorb::__private::serde")]
    }
}

/// `#[serde(..)]`, or a `cfg_attr` with one in it.
fn is_serde(attr: &Attribute) -> bool {
    attr.path().is_ident("serde") || attr.path().is_ident("cfg_attr") && mentions(attr, &["serde"])
}

/// One of `names` stands somewhere in a `derive` or `cfg_attr`.
pub(crate) fn mentions(attr: &Attribute, names: &[&str]) -> bool {
    fn any(tokens: TokenStream, names: &[&str]) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => names.iter().any(|n| ident == n),
            TokenTree::Group(group) => any(group.stream(), names),
            _ => false,
        })
    }
    match &attr.meta {
        Meta::List(list) if ["derive", "cfg_attr"].iter().any(|n| list.path.is_ident(n)) => {
            any(list.tokens.clone(), names)
        }
        _ => false,
    }
}

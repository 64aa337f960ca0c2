//! `mod crawl { pub struct Fetch { .. } .. }`, as visible as the enum.
use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Fields, Ident, Type, Visibility, parse_quote_spanned};

use super::point_at;
use crate::attrs;
use crate::model::{State, Workflow};

pub(super) fn module(w: &Workflow) -> TokenStream {
    let Workflow { module, item, .. } = w;
    let structs = w.states.iter().map(|s| {
        let State { ident, cfg, docs, serde, .. } = s;
        let span = ident.span();
        let inner = inner_visibility(&item.vis, span);
        let derives = attrs::derives(item, s, span);
        let serde = (!serde.is_empty()).then(|| quote!(#[serde(#(#serde),*)]));
        let mut fields = s.fields.clone();
        for field in &mut fields {
            field.attrs = attrs::of_field(&field.attrs);
            field.vis = inner.clone();
            field.ty = Type::Verbatim(one_further_in(field.ty.to_token_stream(), &item.ident));
        }
        let end = (!matches!(fields, Fields::Named(_))).then(|| point_at(span, quote!(;)));
        // All of it at the variant: editors and rustc then show the variant for the struct.
        quote_spanned!(span=> #(#cfg)* #(#docs)* #derives #serde #inner struct #ident #fields #end)
    });
    let doc = format!("The states of [`{0}`](super::{0}), one struct per variant.", item.ident);
    let vis = &item.vis;
    quote! {
        #[doc = #doc]
        // What holds of the enum was said there.
        #[allow(
            clippy::all,
            clippy::pedantic,
            dead_code,
            deprecated,
            missing_copy_implementations,
            missing_debug_implementations,
            missing_docs,
            non_camel_case_types,
            non_snake_case,
            private_interfaces,
            unreachable_pub,
            unused_imports
        )]
        #vis mod #module {
            use super::*;
            #(#structs)*
        }
    }
}

/// The item's visibility, as seen from one module further in.
fn inner_visibility(vis: &Visibility, span: Span) -> Visibility {
    match vis {
        Visibility::Inherited => parse_quote_spanned!(span=> pub(super)),
        Visibility::Restricted(r) => {
            let (path, first) = (&r.path, r.path.segments.first());
            if r.path.is_ident("self") {
                parse_quote_spanned!(span=> pub(super))
            } else if first.is_some_and(|s| s.ident == "super") {
                parse_quote_spanned!(span=> pub(in super::#path))
            } else {
                vis.clone()
            }
        }
        Visibility::Public(_) => vis.clone(),
    }
}

/// The type as seen from one module further in: `Self`, `self::` and `super::` mean what they meant on the enum.
fn one_further_in(ty: TokenStream, workflow: &Ident) -> TokenStream {
    let mut in_path = false;
    let mut out = TokenStream::new();
    for token in ty {
        let starts =
            !std::mem::replace(&mut in_path, matches!(&token, TokenTree::Punct(p) if p.as_char() == ':'));
        match token {
            TokenTree::Ident(ident) if starts && ident == "Self" => {
                out.extend(quote_spanned!(ident.span()=> super::#workflow));
            }
            TokenTree::Ident(ident) if starts && ident == "self" => {
                out.extend(quote_spanned!(ident.span()=> super));
            }
            TokenTree::Ident(ident) if starts && ident == "super" => {
                out.extend(quote_spanned!(ident.span()=> super::super));
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), one_further_in(group.stream(), workflow));
                inner.set_span(group.span());
                out.extend([TokenTree::Group(inner)]);
            }
            other => out.extend([other]),
        }
    }
    out
}

//! Prints a checked workflow as Rust.
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::parse::Parser;
use syn::{Attribute, Fields, ItemEnum, Token, Visibility};

use crate::attrs::{self, pick};
use crate::error::Errors;
use crate::graph;
use crate::model::Workflow;

mod state;
mod structs;
mod workflow;

pub(crate) fn workflow(args: TokenStream, item: &TokenStream) -> TokenStream {
    let parsed = match is_enum.parse2(item.clone()).and_then(|()| syn::parse2::<ItemEnum>(item.clone())) {
        Ok(parsed) => parsed,
        Err(e) => {
            // Give the item back untouched: editors keep working while it is being typed.
            let e = e.into_compile_error();
            return quote!(#item #e);
        }
    };
    let mut errors = Errors::default();
    let mut workflow = match Workflow::new(args, parsed, &mut errors) {
        Ok(workflow) => workflow,
        Err(item) => {
            let errors = errors.into_tokens();
            return quote!(#item #errors);
        }
    };
    let sound = errors.is_empty();
    let errors = errors.into_tokens();
    attrs::strip_fields(&mut workflow.item);
    if sound {
        let docs = Attribute::parse_outer.parse2(graph::docs(&workflow));
        workflow.item.attrs.extend(docs.into_iter().flatten());
    }
    let item = &workflow.item;
    let module = structs::module(&workflow);
    let states = workflow.states.iter().map(|s| state::impls(&workflow, s, sound));
    let implementation = workflow::implementation(&workflow, sound);
    quote! {
        #item
        #module
        #[allow(deprecated)]
        const _: () = {
            #(#states)*
            #implementation
        };
        #errors
    }
}

/// `expected enum`, in our words.
fn is_enum(input: syn::parse::ParseStream<'_>) -> syn::Result<()> {
    input.call(Attribute::parse_outer)?;
    input.parse::<Visibility>()?;
    if !input.peek(Token![enum]) {
        return Err(input.error("`#[workflow]` belongs on an enum, with one variant for each state"));
    }
    input.parse::<TokenStream>().map(drop)
}

/// `{ url, html }`, `(f0, f1)` or nothing: works as a pattern and as an expression.
fn bindings(fields: &Fields) -> TokenStream {
    match fields {
        Fields::Named(named) => {
            let fields = named.named.iter().map(|f| {
                let cfg = pick(&f.attrs, &["cfg"]);
                let ident = &f.ident;
                quote!(#(#cfg)* #ident)
            });
            quote!({ #(#fields),* })
        }
        Fields::Unnamed(tuple) => {
            let fields = tuple.unnamed.iter().enumerate().map(|(i, f)| {
                let cfg = pick(&f.attrs, &["cfg"]);
                let ident = format_ident!("f{i}");
                quote!(#(#cfg)* #ident)
            });
            quote!((#(#fields),*))
        }
        Fields::Unit => TokenStream::new(),
    }
}

/// Moves keywords and punctuation to `span`, so that rustc points there.
///
/// Identifiers stay where they are: rust-analyzer follows every identifier that
/// shares a span with the token under the cursor, and would offer our internals
/// on "go to definition".
pub(crate) fn point_at(span: Span, tokens: TokenStream) -> TokenStream {
    const KEYWORDS: &[&str] = &["Self", "const", "impl"];
    let moved = |mut token: TokenTree| {
        match &token {
            TokenTree::Ident(ident) if !KEYWORDS.iter().any(|k| ident == k) => {}
            _ => token.set_span(span),
        }
        token
    };
    tokens.into_iter().map(moved).collect()
}

//! Prints a checked workflow as Rust.
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::parse::Parser;
use syn::{Attribute, Fields, ItemEnum, Token, Visibility};

use crate::attrs::pick;
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
    let errors = errors.into_tokens();
    if workflow.sound {
        let docs = Attribute::parse_outer.parse2(graph::docs(&workflow));
        workflow.item.attrs.extend(docs.into_iter().flatten());
    }
    let item = &workflow.item;
    let module = structs::module(&workflow);
    let states = workflow.states.iter().enumerate().map(|s| state::impls(&workflow, s));
    let implementation = workflow::implementation(&workflow);
    quote! {
        #item
        #module
        #[allow(clippy::all, clippy::pedantic, deprecated, non_camel_case_types)]
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

/// `{ url: f0, html: f1 }`, `(f0, f1)` or nothing: works as a pattern and as an expression.
fn bindings(fields: &Fields) -> TokenStream {
    let each = fields.iter().enumerate().map(|(i, field)| {
        let cfg = pick(&field.attrs, &["cfg"]);
        // Our own names: a field may be called like a parameter of ours.
        let (name, ident) = (field.ident.iter(), format_ident!("f{i}"));
        quote!(#(#cfg)* #(#name:)* #ident)
    });
    match fields {
        Fields::Named(_) => quote!({ #(#each),* }),
        Fields::Unnamed(_) => quote!((#(#each),*)),
        Fields::Unit => TokenStream::new(),
    }
}

/// Moves keywords and punctuation to `span`, so that rustc points there.
///
/// Identifiers stay where they are: rust-analyzer follows every identifier that
/// shares a span with the token under the cursor, and would offer our internals
/// on "go to definition".
pub(crate) fn point_at(span: Span, tokens: TokenStream) -> TokenStream {
    const KEYWORDS: &[&str] = &["Self", "const", "impl", "type"];
    let moved = |mut token: TokenTree| {
        match &token {
            TokenTree::Ident(ident) if !KEYWORDS.iter().any(|k| ident == k) => {}
            _ => token.set_span(span),
        }
        token
    };
    tokens.into_iter().map(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(args: TokenStream, item: &TokenStream) -> String {
        let tokens = workflow(args, item);
        let file = syn::parse2(tokens.clone()).unwrap_or_else(|e| panic!("{e}: {tokens}"));
        prettyplease::unparse(&file)
    }

    #[test]
    fn crawl() {
        let item = quote! {
            /// The life of one page.
            #[derive(Debug, Clone)]
            enum Crawl {
                /// Download the page.
                #[state(initial, next(Parse, Gone))]
                Fetch,
                /// Find its title and links.
                #[state(next(Done), kick(Fetch), on_failure(Gone))]
                Parse { html: String, #[serde(default)] depth: u8 },
                #[state(terminal)]
                Done,
                #[state(terminal)]
                Gone(u16),
            }
        };
        insta::assert_snapshot!(printed(quote!(app = App, job = Page, name = "crawl"), &item));
    }

    #[test]
    fn behind_a_cfg_and_under_other_names() {
        let item = quote! {
            #[derive(Clone, Copy, PartialEq, Serialize)]
            pub(super) enum Move {
                #[state(initial, next(r#Type, Done), on_failure(r#Type), alias = "Begin", alias = "Go")]
                Start { of: self::Page, back: super::Site, again: Option<Box<Self>> },
                #[cfg(unix)]
                #[serde(rename_all = "camelCase", default)]
                #[state(next(Done))]
                r#Type { #[cfg(windows)] #[serde(rename = "c")] code: u8 },
                #[cfg(unix)]
                #[cfg(feature = "done")]
                #[state(terminal)]
                Done(),
            }
        };
        insta::assert_snapshot!(printed(quote!(states = moves), &item));
    }

    #[test]
    fn a_broken_graph() {
        let item = quote! {
            #[derive(Clone)]
            enum Crawl {
                #[state(initial, next(Parsse))]
                Fetch { url: String },
                #[state(next(Done), kick(Fetch), on_failure(Done), rate = "10/s")]
                Parse,
                #[state(terminal)]
                Done,
            }
        };
        insta::assert_snapshot!(printed(quote!(), &item));
    }

    /// Whatever stands there while somebody types, it is given back, and nothing panics.
    #[test]
    fn half_typed_code_is_given_back() {
        let items =
            [quote!(), quote!(enum), quote!(enum Crawl), quote!(enum Crawl { #[state] }), quote!(#[state])];
        let args = [quote!(), quote!(job), quote!(job =), quote!(job = Vec<), quote!(, ,), quote!("x" = 3)];
        for item in items.iter().filter(|item| syn::parse2::<ItemEnum>((*item).clone()).is_err()) {
            for args in &args {
                let out = workflow(args.clone(), item).to_string();
                assert!(out.starts_with(&item.to_string()), "{item}: {out}");
            }
        }
        let parsed = [
            quote!(
                enum Crawl {}
            ),
            quote!(
                enum Crawl {
                    #[state(initial, next(Fetch))]
                    Fetch,
                }
            ),
            quote!(
                enum Crawl {
                    #[state(initial, next(Fetch,))]
                    Fetch,
                    #[state(,)]
                    Done,
                }
            ),
            quote!(
                enum Self_ {
                    #[state(initial terminal)]
                    A,
                    #[state(next)]
                    B,
                    #[state(next(), on_failure)]
                    C,
                    #[state(on_failure(), next(on_failure(A)))]
                    D,
                    #[state(on_failure(A,), terminal)]
                    E,
                    #[state(=)]
                    A,
                }
            ),
            quote!(
                enum _1 {
                    #[state(initial, terminal, next(_1))]
                    A,
                }
            ),
            quote!(
                enum Crate {
                    #[state(initial, terminal, alias)]
                    A(#[serde(,)] u8),
                }
            ),
        ];
        for item in parsed {
            for args in &args {
                let out = workflow(args.clone(), &item).to_string();
                assert!(out.contains("compile_error"), "{out}");
            }
        }
    }
}

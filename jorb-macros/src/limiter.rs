//! `#[limiter]` on a struct: the struct stays as written, impls are added beside it.
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput};

use crate::args;
use crate::error::Errors;
use crate::expand::point_at;

pub(crate) fn limiter(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let parsed = syn::parse2::<DeriveInput>(item.clone()).and_then(|input| match &input.data {
        Data::Struct(_) if input.generics.params.is_empty() => Ok(input),
        Data::Struct(_) => Err(syn::Error::new_spanned(&input.generics, "a limiter is not generic")),
        _ => Err(syn::Error::new_spanned(&input.ident, SHAPE)),
    });
    let implementation = match parsed {
        Ok(input) => {
            let args = args::limiter(args, &mut errors);
            Some(implement(&input, &args))
        }
        Err(e) => {
            errors.push(if e.to_string().starts_with("expected one of") {
                syn::Error::new(e.span(), SHAPE)
            } else {
                e
            });
            None
        }
    };
    let errors = errors.into_tokens();
    quote! {
        // Only its name is used.
        #[allow(dead_code)]
        #item
        #implementation
        #errors
    }
}

const SHAPE: &str = "`#[limiter(..)]` belongs on a struct without fields: `struct GitHub;`";

fn implement(input: &DeriveInput, args: &args::LimiterArgs) -> TokenStream {
    let args::LimiterArgs { spec, weighted, keyed } = args;
    let DeriveInput { ident, attrs, .. } = input;
    let cfg = crate::attrs::pick(attrs, &["cfg"]);
    let name = ident.to_string();
    let name = name.strip_prefix("r#").unwrap_or(&name);
    let path = format!("::{name}");
    let head = point_at(ident.span(), quote!(impl));
    // Whoever declares it `weighted` says what steps cost; otherwise each costs 1.
    let one = (!weighted).then(|| {
        quote! {
            #(#cfg)*
            impl<S: ::jorb::State> ::jorb::Weighted<S> for #ident {
                fn cost(_: &S, _: &<S::Workflow as ::jorb::Workflow>::Job) -> u32 {
                    1
                }
            }
        }
    });
    // And whoever declares it `keyed` says which key they have.
    let none = (!keyed).then(|| {
        quote! {
            #(#cfg)*
            impl<S: ::jorb::State> ::jorb::Keyed<S> for #ident {
                fn key(_: &S, _: &<S::Workflow as ::jorb::Workflow>::Job) -> ::jorb::__private::String {
                    ::jorb::__private::String::new()
                }
            }
        }
    });
    quote! {
        #(#cfg)*
        #head ::jorb::Limiter for #ident {
            const SPEC: ::jorb::LimiterSpec = ::jorb::LimiterSpec::new(
                #name,
                ::core::concat!(::core::module_path!(), #path),
            )#spec;
        }
        #one
        #none
        #(#cfg)*
        impl<S: ::jorb::State> ::jorb::Takes<S> for #ident
        where
            #ident: ::jorb::Weighted<S> + ::jorb::Keyed<S>,
        {
            fn demand(
                state: &S,
                job: &<S::Workflow as ::jorb::Workflow>::Job,
            ) -> (u32, ::jorb::__private::String) {
                (<Self as ::jorb::Weighted<S>>::cost(state, job), <Self as ::jorb::Keyed<S>>::key(state, job))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(args: TokenStream, item: &TokenStream) -> String {
        let tokens = limiter(args, item);
        let file = syn::parse2(tokens.clone()).unwrap_or_else(|e| panic!("{e}: {tokens}"));
        prettyplease::unparse(&file)
    }

    #[test]
    fn a_rate_and_a_pool() {
        let item = quote! {
            /// What they let us have.
            #[cfg(unix)]
            pub struct GitHub;
        };
        insta::assert_snapshot!(printed(quote!(rate = "5000/h", burst = 100, concurrency = POOL), &item));
    }

    #[test]
    fn with_weights() {
        insta::assert_snapshot!(printed(
            quote!(rate = "90000/m", weighted),
            &quote!(
                struct Tokens;
            )
        ));
    }
}

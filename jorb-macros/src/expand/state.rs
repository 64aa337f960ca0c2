//! The impls of one state struct.
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};

use super::{bindings, point_at};
use crate::model::{State, Workflow};

pub(super) fn impls(w: &Workflow, (i, s): (usize, &State)) -> TokenStream {
    let workflow = &w.item.ident;
    let State { ident, cfg, .. } = s;
    let name = s.name();
    let this = w.path(s, Span::call_site());
    let bindings = bindings(&s.fields);
    // With a wrong field type the two would not fit, and rustc would say so again.
    let never = quote!(::core::unreachable!());
    let (pattern, conversion, back) = if w.sound {
        let back = quote! {
            #[allow(unreachable_patterns)] // of an enum with one state
            match workflow {
                #workflow::#ident #bindings => ::jorb::__private::Option::Some(#this #bindings),
                _ => ::jorb::__private::Option::None,
            }
        };
        (quote!(#this #bindings), quote!(Self::#ident #bindings), back)
    } else {
        (quote!(_), never.clone(), never)
    };
    let conversions = quote! {
        #(#cfg)*
        impl ::jorb::__private::From<#this> for #workflow {
            fn from(#pattern: #this) -> Self {
                #conversion
            }
        }
        #(#cfg)*
        impl ::jorb::State for #this {
            type Workflow = #workflow;
            const NAME: &'static str = #name;
            fn of(workflow: #workflow) -> ::jorb::__private::Option<Self> {
                #back
            }
        }
    };
    let initial = s.initial.then(|| quote!(#(#cfg)* impl ::jorb::Initial for #this {}));
    if s.terminal {
        return quote!(#conversions #initial);
    }
    let edges = edges(w, s, &this);
    let on_failure = on_failure(w, i, s, &this);
    // The one place that asks for the handler, so a missing one is reported once.
    let entry = w.sound.then(|| {
        let this_here = point_at(ident.span(), quote!(Self));
        quote! {
            #(#cfg)*
            impl #this {
                #[doc(hidden)]
                const ENTRY: ::jorb::__private::Entry<Self> = ::jorb::__private::entry::<#this_here>();
            }
        }
    });
    quote! {
        #conversions
        #initial
        #(#cfg)*
        impl ::jorb::Active for #this {}
        #edges
        #on_failure
        #entry
    }
}

fn edges(w: &Workflow, s: &State, this: &TokenStream) -> TokenStream {
    let cfg = &s.cfg;
    if !w.sound {
        // The graph is already reported as wrong; say nothing about moves along it.
        return quote! {
            #(#cfg)* impl<T: ::jorb::State> ::jorb::Transition<T> for #this {}
            #(#cfg)* impl<T: ::jorb::State> ::jorb::Kicks<T> for #this {}
        };
    }
    let next = s.next.iter().map(|e| (quote!(Transition), e));
    let kick = s.kick.iter().map(|e| (quote!(Kicks), e));
    let edge = |(edge, e): (TokenStream, &crate::model::Edge)| {
        let to_cfg = &w.states[e.to].cfg;
        let to = w.path(&w.states[e.to], e.span);
        let (head, body) = (point_at(e.span, quote!(impl)), point_at(e.span, quote!({})));
        quote!(#(#cfg)* #(#to_cfg)* #head ::jorb::#edge<#to> for #this #body)
    };
    next.chain(kick).map(edge).collect()
}

/// Asks for the `From` that `on_failure` needs, at the name of the state.
fn on_failure(w: &Workflow, i: usize, s: &State, this: &TokenStream) -> Option<TokenStream> {
    let edge = s.on_failure.as_ref().filter(|_| w.sound)?;
    let (State { cfg, .. }, to) = (s, &w.states[edge.to]);
    let (to_cfg, to) = (&to.cfg, w.path(to, edge.span));
    let to_here = point_at(edge.span, quote!(Self));
    let after = after_failure(i);
    Some(quote! {
        #(#cfg)* #(#to_cfg)*
        impl #to {
            #[doc(hidden)]
            const #after: fn(::jorb::Failed<#this>) -> <#this as ::jorb::State>::Workflow =
                ::jorb::__private::after_failure::<#to_here, #this>();
        }
    })
}

/// What makes a state of the failure of the `i`th one.
pub(super) fn after_failure(i: usize) -> Ident {
    format_ident!("AFTER_FAILURE_{i}")
}

//! `impl Workflow` for the enum.
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::Fields;

use super::{bindings, point_at};
use crate::model::{Edge, State, Workflow};

pub(super) fn implementation(w: &Workflow, sound: bool) -> TokenStream {
    let Workflow { app, overall, job, name, .. } = w;
    let workflow = &w.item.ident;
    let itself = point_at(workflow.span(), quote!(Self));
    let specs = w.states.iter().map(|s| spec(w, s, sound));
    let each = |arm: &dyn Fn(&State) -> TokenStream| -> TokenStream {
        let arms = w.states.iter().map(|s| {
            let (cfg, arm) = (&s.cfg, arm(s));
            quote!(#(#cfg)* #arm,)
        });
        arms.collect()
    };
    let variants = each(&|s| {
        let ident = &s.ident;
        quote!(#ident)
    });
    let indices = each(&|s| {
        let ident = &s.ident;
        quote!(Self::#ident { .. } => Index::#ident as usize)
    });
    let saves = each(&|s| save(w, s, sound));
    let loads = each(&|s| load(w, s, sound));
    let starts = each(&|s| start(w, s, sound));
    quote! {
        impl ::jorb::Workflow for #workflow {
            type App = #app;
            type Overall = #overall;
            type Job = #job;
            const NAME: &'static str = #name;
            const STATES: &'static [::jorb::StateSpec] = &[#(#specs),*];
            const CODEC: ::jorb::Codec<Self> = ::jorb::__private::codec::<#itself>(
                ::jorb::__private::context::<#job>(),
                ::jorb::__private::context::<#overall>(),
            );
            fn index(&self) -> usize {
                // Counts no variant that a `cfg` takes away.
                enum Index { #variants }
                match self { #indices }
            }
            fn save(
                self,
            ) -> (
                Self,
                ::jorb::__private::Result<
                    ::jorb::__private::Option<::jorb::__private::String>,
                    ::jorb::Unwritable,
                >,
            ) {
                match self { #saves }
            }
            fn load(
                state: &str,
                data: ::jorb::__private::Option<&str>,
            ) -> ::jorb::__private::Option<::jorb::__private::Result<Self, ::jorb::Unreadable>> {
                match state {
                    #loads
                    _ => ::jorb::__private::Option::None,
                }
            }
            fn dispatch(
                self,
                cx: &mut ::jorb::Cx<Self>,
            ) -> ::jorb::__private::Option<::jorb::Task<'_, Self>> {
                match self { #starts }
            }
        }
    }
}

fn spec(w: &Workflow, s: &State, sound: bool) -> TokenStream {
    let State { cfg, aliases, initial, .. } = s;
    let name = s.name();
    let name_of = |e: &Edge| {
        let (cfg, name) = (&w.states[e.to].cfg, w.states[e.to].name());
        quote!(#(#cfg)* #name)
    };
    let (next, kick) = (s.next.iter().map(name_of), s.kick.iter().map(name_of));
    let policy = if s.terminal || !sound {
        quote!(::jorb::__private::Option::None)
    } else {
        let this = w.path(s, Span::call_site());
        quote!(::jorb::__private::Option::Some(#this::ENTRY.policy))
    };
    quote! {
        #(#cfg)*
        ::jorb::StateSpec {
            name: #name,
            aliases: &[#(#aliases),*],
            policy: #policy,
            initial: #initial,
            next: &[#(#next),*],
            kick: &[#(#kick),*],
        }
    }
}

fn save(w: &Workflow, s: &State, sound: bool) -> TokenStream {
    let (ident, bindings) = (&s.ident, bindings(&s.fields));
    if s.fields.is_empty() || !sound {
        let none = quote!(::jorb::__private::Result::Ok(::jorb::__private::Option::None));
        return quote!(state @ Self::#ident { .. } => (state, #none));
    }
    let this = w.path(s, Span::call_site());
    quote!(Self::#ident #bindings => ::jorb::__private::save(#this #bindings))
}

fn load(w: &Workflow, s: &State, sound: bool) -> TokenStream {
    let State { ident, aliases, fields, .. } = s;
    let name = s.name();
    let state = if fields.is_empty() || !sound {
        // What an earlier version kept here is ignored, as serde ignores a field that it does not know.
        let bindings = bindings(fields);
        match sound {
            true => quote!(::jorb::__private::Result::Ok(Self::#ident #bindings)),
            false => quote!(::core::unreachable!()),
        }
    } else {
        let this = w.path(s, Span::call_site());
        match fields {
            Fields::Named(_) => quote!(::jorb::__private::read_fields::<#this>(data)),
            _ => quote!(::jorb::__private::read_state::<#this>(data)),
        }
    };
    quote!(#name #(| #aliases)* => ::jorb::__private::Option::Some(#state))
}

fn start(w: &Workflow, s: &State, sound: bool) -> TokenStream {
    let (ident, bindings) = (&s.ident, bindings(&s.fields));
    if s.terminal || !sound {
        return quote!(Self::#ident { .. } => ::jorb::__private::Option::None);
    }
    let this = w.path(s, Span::call_site());
    quote!(Self::#ident #bindings => ::jorb::__private::Option::Some((#this::ENTRY.run)(#this #bindings, cx)))
}

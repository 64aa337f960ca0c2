//! `impl Workflow` for the enum.
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::spanned::Spanned;
use syn::{Fields, Ident, Type};

use super::{bindings, point_at};
use crate::model::{Edge, State, Workflow};

pub(super) fn implementation(w: &Workflow) -> TokenStream {
    let Workflow { app, overall, job, name, .. } = w;
    let workflow = &w.item.ident;
    let itself = point_at(workflow.span(), quote!(Self));
    let [app_type, overall_type, job_type] = [("App", app), ("Overall", overall), ("Job", job)].map(context);
    let specs = w.states.iter().map(|s| spec(w, s));
    let Bodies { index, save, load, dispatch, dispatch_batch, demand } = Bodies::new(w);
    let fail = fail(w);
    quote! {
        impl ::jorb::Workflow for #workflow {
            #app_type
            #overall_type
            #job_type
            const NAME: &'static str = #name;
            const STATES: &'static [::jorb::StateSpec] = &[#(#specs),*];
            const CODEC: ::jorb::Codec<Self> = ::jorb::__private::codec::<#itself>(
                ::jorb::__private::context::<#job>(),
                ::jorb::__private::context::<#overall>(),
            );
            fn index(&self) -> usize {
                #index
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
                #save
            }
            fn load(
                state: &str,
                data: ::jorb::__private::Option<&str>,
            ) -> ::jorb::__private::Option<::jorb::__private::Result<Self, ::jorb::Unreadable>> {
                #load
            }
            fn dispatch(
                self,
                cx: &mut ::jorb::Cx<Self>,
            ) -> ::jorb::__private::Option<::jorb::Task<'_, Self>> {
                #dispatch
            }
            fn dispatch_batch(
                jobs: ::jorb::__private::Vec<::jorb::Loose<Self>>,
                cx: &mut ::jorb::BatchCx<Self>,
            ) -> ::jorb::__private::Option<::jorb::BatchTask<'_, Self>> {
                #dispatch_batch
            }
            fn demand(self, job: &<Self as ::jorb::Workflow>::Job) -> (Self, ::jorb::Demand) {
                #demand
            }
            #fail
        }
    }
}

/// `type Job = Page;`, which rustc finds fault with as a whole, at `Page`.
fn context((name, ty): (&str, &Type)) -> TokenStream {
    let name = Ident::new(name, Span::call_site());
    let (head, end) = (point_at(ty.span(), quote!(type)), point_at(ty.span(), quote!(;)));
    quote!(#head #name = #ty #end)
}

fn spec(w: &Workflow, s: &State) -> TokenStream {
    let State { cfg, aliases, initial, fields, .. } = s;
    let has_fields = !fields.is_empty();
    let name = s.name();
    let name_of = |e: &Edge| {
        let to = &w.states[e.to];
        let (cfg, name) = (&to.cfg, to.name());
        quote!(#(#cfg)* #name)
    };
    let edges = |edges: &[Edge]| if w.sound { edges.iter().map(name_of).collect() } else { Vec::new() };
    let (next, kick) = (edges(&s.next), edges(&s.kick));
    let on_failure: Vec<_> = edges(s.on_failure.as_slice());
    let (policy, limits) = if s.terminal || !w.sound {
        (quote!(::jorb::__private::Option::None), quote!(&[]))
    } else {
        let this = w.path(s, Span::call_site());
        (quote!(::jorb::__private::Option::Some(#this::ENTRY.policy)), quote!(#this::ENTRY.limits))
    };
    quote! {
        #(#cfg)*
        ::jorb::StateSpec {
            name: #name,
            aliases: &[#(#aliases),*],
            policy: #policy,
            limits: #limits,
            fields: #has_fields,
            initial: #initial,
            next: &[#(#next),*],
            kick: &[#(#kick),*],
            on_failure: ::jorb::__private::first(&[#(#on_failure),*]),
        }
    }
}

/// What failures make of states that say so.
fn fail(w: &Workflow) -> Option<TokenStream> {
    let arm = |(i, s): (usize, &State)| {
        let to = &w.states[s.on_failure.as_ref()?.to];
        let (State { ident, cfg, .. }, to_cfg, bindings) = (s, &to.cfg, bindings(&s.fields));
        let (this, to) = (w.path(s, Span::call_site()), w.path(to, Span::call_site()));
        let after = super::state::after_failure(i);
        Some(quote! {
            #(#cfg)* #(#to_cfg)*
            Self::#ident #bindings => {
                let failed = ::jorb::Failed::new(#this #bindings, error, attempts);
                ::jorb::__private::Option::Some((#to::#after)(failed))
            }
        })
    };
    let arms: Vec<_> = w.states.iter().enumerate().filter(|_| w.sound).filter_map(arm).collect();
    (!arms.is_empty()).then(|| {
        quote! {
            fn fail(
                self,
                error: ::jorb::__private::String,
                attempts: u32,
            ) -> ::jorb::__private::Option<Self> {
                match self {
                    #(#arms)*
                    _ => ::jorb::__private::Option::None,
                }
            }
        }
    })
}

struct Bodies {
    index: TokenStream,
    save: TokenStream,
    load: TokenStream,
    dispatch: TokenStream,
    dispatch_batch: TokenStream,
    demand: TokenStream,
}

impl Bodies {
    fn new(w: &Workflow) -> Self {
        if !w.sound {
            let never = quote!(::core::unreachable!());
            return Bodies {
                index: never.clone(),
                save: never.clone(),
                load: never.clone(),
                dispatch: never.clone(),
                dispatch_batch: never.clone(),
                demand: never,
            };
        }
        let each = |arm: fn(&Workflow, &State) -> TokenStream| -> TokenStream {
            let arms = w.states.iter().map(|s| {
                let (cfg, arm) = (&s.cfg, arm(w, s));
                quote!(#(#cfg)* #arm,)
            });
            arms.collect()
        };
        let (variants, indices) = (each(variant), each(index));
        let (saves, loads, starts, demands) = (each(save), each(load), each(start), each(demand));
        let batches = each(start_batch);
        Bodies {
            index: quote! {
                // Counts no variant that a `cfg` takes away.
                enum Index { #variants }
                match self { #indices }
            },
            save: quote!(match self { #saves }),
            load: quote!(match state { #loads _ => ::jorb::__private::Option::None }),
            dispatch: quote!(match self { #starts }),
            dispatch_batch: quote!(match jobs.first()?.state() { #batches }),
            demand: quote!(match self { #demands }),
        }
    }
}

fn variant(_: &Workflow, s: &State) -> TokenStream {
    let ident = &s.ident;
    quote!(#ident)
}

fn index(_: &Workflow, s: &State) -> TokenStream {
    let ident = &s.ident;
    quote!(Self::#ident { .. } => Index::#ident as usize)
}

fn save(w: &Workflow, s: &State) -> TokenStream {
    let (ident, bindings) = (&s.ident, bindings(&s.fields));
    if s.fields.is_empty() {
        let none = quote!(::jorb::__private::Result::Ok(::jorb::__private::Option::None));
        return quote!(state @ Self::#ident { .. } => (state, #none));
    }
    let this = w.path(s, Span::call_site());
    quote!(Self::#ident #bindings => ::jorb::__private::save(#this #bindings))
}

fn load(w: &Workflow, s: &State) -> TokenStream {
    let State { ident, aliases, fields, .. } = s;
    let name = s.name();
    let this = w.path(s, Span::call_site());
    let state = match fields {
        // What an earlier version kept here is ignored, as serde ignores a field that it does not know.
        fields if fields.is_empty() => {
            let bindings = bindings(fields);
            quote!(::jorb::__private::Result::Ok(Self::#ident #bindings))
        }
        Fields::Named(_) => quote!(::jorb::__private::read_fields::<#this>(data)),
        _ => quote!(::jorb::__private::read_state::<#this>(data)),
    };
    quote!(#name #(| #aliases)* => ::jorb::__private::Option::Some(#state))
}

fn start(w: &Workflow, s: &State) -> TokenStream {
    let (ident, bindings) = (&s.ident, bindings(&s.fields));
    if s.terminal {
        return quote!(Self::#ident { .. } => ::jorb::__private::Option::None);
    }
    let this = w.path(s, Span::call_site());
    quote!(Self::#ident #bindings => ::jorb::__private::Option::Some((#this::ENTRY.run)(#this #bindings, cx)))
}

fn start_batch(w: &Workflow, s: &State) -> TokenStream {
    let ident = &s.ident;
    if s.terminal {
        return quote!(Self::#ident { .. } => ::jorb::__private::Option::None);
    }
    let this = w.path(s, Span::call_site());
    quote!(Self::#ident { .. } => ::jorb::__private::Option::Some((#this::ENTRY.run_batch)(jobs, cx)))
}

fn demand(w: &Workflow, s: &State) -> TokenStream {
    let (ident, bindings) = (&s.ident, bindings(&s.fields));
    if s.terminal {
        return quote!(state @ Self::#ident { .. } => (state, ::jorb::Demand::ONE));
    }
    let this = w.path(s, Span::call_site());
    quote! {
        Self::#ident #bindings => {
            let state = #this #bindings;
            let demand = (#this::ENTRY.demand)(&state, job);
            (::jorb::__private::From::from(state), demand)
        }
    }
}

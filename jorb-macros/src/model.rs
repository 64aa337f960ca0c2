//! The enum, read once and checked: everything after this file may assume it is sound.
use std::collections::HashSet;

use heck::ToSnakeCase;
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Field, Fields, Ident, ItemEnum, LitStr, Meta, Type, Variant};

use crate::args::{self, VariantArgs, WorkflowArgs};
use crate::attrs::{self, pick};
use crate::error::{Errors, did_you_mean};
use crate::graph;

pub(crate) struct Workflow {
    /// The user's enum without our attributes.
    pub(crate) item: ItemEnum,
    /// Its name in the store.
    pub(crate) name: String,
    /// Name of the generated module of state structs.
    pub(crate) module: Ident,
    pub(crate) app: Type,
    pub(crate) overall: Type,
    pub(crate) job: Type,
    pub(crate) states: Vec<State>,
    /// No mistake was found, so what is printed should compile.
    pub(crate) sound: bool,
}

pub(crate) struct State {
    pub(crate) ident: Ident,
    pub(crate) fields: Fields,
    /// `#[cfg]`s of the variant: they guard everything generated for it.
    pub(crate) cfg: Vec<Attribute>,
    pub(crate) docs: Vec<Attribute>,
    /// What the variant says to serde of its fields as a whole.
    pub(crate) serde: Vec<Meta>,
    pub(crate) initial: bool,
    pub(crate) terminal: bool,
    pub(crate) next: Vec<Edge>,
    pub(crate) kick: Vec<Edge>,
    pub(crate) on_failure: Option<Edge>,
    pub(crate) aliases: Vec<LitStr>,
    /// Already reported.
    pub(crate) broken: bool,
}

/// An edge to `states[to]`; `span` is where the user wrote it.
pub(crate) struct Edge {
    pub(crate) to: usize,
    pub(crate) span: Span,
}

impl State {
    /// The name in the store: `Type` of `r#Type`.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// All edges along which it makes jobs come somewhere.
    pub(crate) fn onward(&self) -> impl Iterator<Item = &Edge> {
        self.next.iter().chain(&self.kick).chain(&self.on_failure)
    }
}

impl Workflow {
    /// Gives the enum back when it is too far off to generate anything for.
    pub(crate) fn new(
        args: TokenStream,
        mut item: ItemEnum,
        errors: &mut Errors,
    ) -> Result<Workflow, Box<ItemEnum>> {
        let WorkflowArgs { app, overall, job, name, states: module } = args::workflow(args, errors);
        let args: Vec<VariantArgs> =
            item.variants.iter_mut().map(|v| args::take_variant(&mut v.attrs, errors)).collect();
        if let Some(generics) = generics(&item) {
            errors.at(generics, "a workflow enum cannot be generic: its states are stored by name");
            return Err(Box::new(item));
        }
        if item.variants.is_empty() {
            errors.at(&item.ident, "a workflow needs at least one state");
            return Err(Box::new(item));
        }
        let names: Vec<String> = item.variants.iter().map(|v| v.ident.unraw().to_string()).collect();
        let twice = declared_twice(&item, errors);
        let mut serde = attrs::take_serde(&mut item, errors).into_iter();
        let mut states: Vec<State> = item
            .variants
            .iter()
            .zip(args)
            .map(|(v, args)| state(v, args, serde.next().unwrap_or_default(), &names, errors))
            .collect();
        attrs::strip_fields(&mut item);
        for variant in &mut item.variants {
            variant.discriminant = None; // already reported
        }
        for field in states.iter().flat_map(|s| &s.fields) {
            hidden_types(field.ty.to_token_stream(), &names, errors);
            borrowed(field, errors);
        }
        used_names(&states, errors);
        if twice {
            let mut seen = HashSet::new();
            states.retain(|s| seen.insert(s.name()));
        } else {
            graph::check(&item.ident, &states, errors);
        }
        let unit = || syn::parse_quote!(());
        let default = module_name(&item.ident);
        Ok(Workflow {
            name: name.map_or_else(|| item.ident.unraw().to_string(), |name| name.value()),
            module: module.unwrap_or(default),
            app: app.unwrap_or_else(unit),
            overall: overall.unwrap_or_else(unit),
            job: job.unwrap_or_else(unit),
            sound: errors.is_empty() && !twice,
            item,
            states,
        })
    }

    /// `crawl::Fetch`; "go to definition" at `span` leads to it.
    pub(crate) fn path(&self, state: &State, span: Span) -> TokenStream {
        let (mut module, mut ident) = (self.module.clone(), state.ident.clone());
        module.set_span(Span::call_site());
        ident.set_span(span);
        quote!(#module::#ident)
    }
}

fn generics(item: &ItemEnum) -> Option<TokenStream> {
    let clause = item.generics.where_clause.as_ref().map(|w| w.where_token.to_token_stream());
    if item.generics.params.is_empty() { clause } else { Some(item.generics.to_token_stream()) }
}

/// Of two variants with one name rustc says enough, unless a `cfg` hides that from it.
fn declared_twice(item: &ItemEnum, errors: &mut Errors) -> bool {
    let twice = |(i, v): (usize, &Variant)| item.variants.iter().take(i).any(|w| w.ident == v.ident);
    let Some((_, again)) = item.variants.iter().enumerate().find(|pair| twice(*pair)) else { return false };
    let cfg = |v: &Variant| v.ident == again.ident && !pick(&v.attrs, &["cfg"]).is_empty();
    if item.variants.iter().any(cfg) {
        let name = &again.ident;
        errors.at(
            name,
            format!("state `{name}` is declared twice: declare it once and put the `cfg`s on its fields"),
        );
    }
    true
}

fn state(v: &Variant, args: VariantArgs, serde: Vec<Meta>, names: &[String], errors: &mut Errors) -> State {
    let before = errors.len();
    let mut resolve = |edges: &[Ident]| -> Vec<Edge> {
        let mut out: Vec<Edge> = Vec::new();
        for to in edges {
            let name = to.unraw().to_string();
            match names.iter().position(|n| *n == name) {
                Some(i) if out.iter().any(|e| e.to == i) => errors.at(to, format!("`{to}` is listed twice")),
                Some(i) => out.push(Edge { to: i, span: to.span() }),
                None => {
                    let close = did_you_mean(&name, names.iter().map(String::as_str));
                    errors.at(to, format!("unknown state `{to}`{close}"));
                }
            }
        }
        out
    };
    let (next, kick) = (resolve(&args.next), resolve(&args.kick));
    let on_failure = resolve(args.on_failure.as_slice()).pop();
    if let Some((_, number)) = &v.discriminant {
        errors.at(number, "a state has no number, it is saved by its name: drop the `= ..`");
    }
    State {
        ident: v.ident.clone(),
        fields: v.fields.clone(),
        cfg: pick(&v.attrs, &["cfg"]),
        docs: pick(&v.attrs, &["doc"]),
        serde,
        initial: args.initial,
        terminal: args.terminal,
        next,
        kick,
        on_failure,
        aliases: args.aliases,
        broken: args.broken || errors.len() > before,
    }
}

/// `crawl` of `Crawl`, `r#move` of `Move`, `states` of `Super`, which makes no name at all.
fn module_name(workflow: &Ident) -> Ident {
    let snake = workflow.unraw().to_string().to_snake_case();
    let read = |text: &str| syn::parse_str::<Ident>(text).ok();
    let name = read(&snake).or_else(|| read(&format!("r#{snake}")));
    let mut name = name.unwrap_or_else(|| Ident::new("states", Span::call_site()));
    name.set_span(workflow.span());
    name
}

/// Rejects field types that would mean a state struct inside the generated module.
fn hidden_types(ty: TokenStream, states: &[String], errors: &mut Errors) {
    let mut in_path = false;
    for token in ty {
        match &token {
            TokenTree::Ident(name) if !in_path && states.iter().any(|s| name == s) => errors.at(
                name,
                format!("`{name}` is also a state here: write the full path, `crate::..::{name}`, or rename the state"),
            ),
            TokenTree::Group(group) => hidden_types(group.stream(), states, errors),
            _ => {}
        }
        in_path = matches!(&token, TokenTree::Punct(p) if p.as_char() == ':');
    }
}

/// What is read from a store is owned, unless serde is told how to find it.
fn borrowed(field: &Field, errors: &mut Errors) {
    if let Type::Reference(ty) = &field.ty
        && ty.lifetime.is_some()
        && pick(&field.attrs, &["serde"]).is_empty()
    {
        errors.at(
            ty.and_token,
            "a state owns its data, for it is saved and read back: write `String`, or `Arc<..>`",
        );
    }
}

/// An old name must lead to one state.
fn used_names(states: &[State], errors: &mut Errors) {
    let mut used: Vec<String> = states.iter().map(State::name).collect();
    for alias in states.iter().flat_map(|s| &s.aliases) {
        if used.contains(&alias.value()) {
            errors.at(alias, format!("`{}` already names a state of this workflow", alias.value()));
        }
        used.push(alias.value());
    }
}

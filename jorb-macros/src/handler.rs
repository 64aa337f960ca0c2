//! `#[state]` on a function: the function stays as written, an impl is added beside it.
use heck::ToSnakeCase;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{
    Attribute, FnArg, GenericArgument, Ident, PathArguments, ReturnType, Signature, Token, Type, Visibility,
};

use crate::args::{self, PolicyArgs};
use crate::attrs::pick;
use crate::error::Errors;
use crate::expand::point_at;

const SHAPE: &str = "a handler takes `(state: S)` or `(state: S, cx: &mut Cx<W>)`";
const BATCH: &str = "`(batch: Batch<S>)` or `(batch: Batch<S>, cx: &mut BatchCx<W>)`";

pub(crate) fn state(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let head = errors.keep(syn::parse2::<Head>(item.clone()));
    let implementation = head.and_then(|Head { cfg, sig }| {
        let inputs = Inputs::new(&sig, &mut errors);
        let name = inputs.state.as_ref().and_then(last).map_or_else(|| "..".to_owned(), Ident::to_string);
        let policy = args::policy(args, &name, &mut errors)?;
        let implementation = implement(&sig, &inputs, &policy, &mut errors)?;
        Some(quote!(#(#cfg)* #implementation))
    });
    let errors = errors.into_tokens();
    // The signature is ours to ask for, so its lints are ours to silence.
    quote! {
        #[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps, clippy::unused_async)]
        #item
        #implementation
        #errors
    }
}

/// A function whose body we never parse: half-typed bodies cannot break the macro.
struct Head {
    cfg: Vec<Attribute>,
    sig: Signature,
}

impl Parse for Head {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let cfg = pick(&input.call(Attribute::parse_outer)?, &["cfg"]);
        input.parse::<Visibility>()?;
        let start = input.fork();
        let sig = input.parse().map_err(|e| {
            // A function that cannot be read has its own error; of anything else, say what is wrong.
            if of_function(&start) {
                return e;
            }
            start.error("`#[state]` belongs on a handler function, or on a variant under `#[workflow]`")
        })?;
        input.parse::<TokenStream>()?;
        Ok(Head { cfg, sig })
    }
}

fn of_function(input: ParseStream<'_>) -> bool {
    let next = input.fork();
    while next.peek(Token![async]) || next.peek(Token![unsafe]) || next.peek(Token![const]) {
        let _ = next.call(Ident::parse_any);
    }
    next.is_empty() || next.peek(Token![fn]) || next.peek(Token![extern])
}

#[derive(Default)]
struct Inputs {
    state: Option<Type>,
    cx: Option<Type>,
    /// It takes a `Batch` of them.
    batch: bool,
}

impl Inputs {
    /// Even of wrong inputs, finds the state: then the enum does not complain about a missing handler.
    fn new(sig: &Signature, errors: &mut Errors) -> Self {
        let mut types: Vec<Type> = Vec::new();
        for input in &sig.inputs {
            match input {
                FnArg::Receiver(this) => {
                    errors.at(this, "a handler is a free function: put shared data in the app, `cx.app`");
                    return Inputs::default(); // an impl cannot stand inside another
                }
                FnArg::Typed(arg) => types.push((*arg.ty).clone()),
            }
        }
        if types.is_empty() {
            errors.at(&sig.ident, SHAPE);
        } else if let Some(extra) = sig.inputs.iter().nth(2) {
            errors.at(extra, SHAPE);
        }
        if types.len() > 1 && is_cx(&types[0]) {
            errors.at(&types[0], "the state comes first: `(state: S, cx: &mut Cx<W>)`");
            types = vec![types.remove(1)];
        }
        if let Some(ty) = types.iter().find(|ty| matches!(ty, Type::ImplTrait(_))) {
            errors.at(ty, "a handler is not generic: write the type");
            types.retain(|ty| !matches!(ty, Type::ImplTrait(_)));
        }
        if types.is_empty() {
            types.extend(returned(&sig.output));
        }
        let mut types = types.into_iter();
        let state = types.next();
        let batch = state.as_ref().is_some_and(|ty| last(bare(ty)).is_some_and(|name| name == "Batch"));
        let mut state = state.map(|ty| owned_struct(ty, errors));
        if batch {
            // Of a `Batch` of nothing, rustc says what is missing.
            let of = state.as_ref().and_then(argument).cloned();
            state = of.or_else(|| returned(&sig.output)).map(|ty| owned_struct(ty, errors));
        }
        let cx = types.next();
        match cx.as_ref().and_then(|ty| Some((ty, last(bare(ty))?))) {
            Some((ty, name)) if batch && name == "Cx" => {
                errors.at(ty, "a batch has no context of one job: write `&mut BatchCx<W>`; each item has a `job` of its own");
            }
            Some((ty, name)) if !batch && name == "BatchCx" => {
                errors.at(
                    ty,
                    format!("`BatchCx` is for handlers that take {BATCH}: this one takes `&mut Cx<W>`"),
                );
            }
            _ => {}
        }
        match &cx {
            Some(Type::Reference(r)) if r.mutability.is_none() => {
                errors.at(r.and_token, "a handler borrows its context mutably: `&mut Cx<W>`");
            }
            Some(ty @ Type::Path(_)) if is_cx(ty) => {
                errors.at(ty, "a handler borrows its context, the engine keeps it: `&mut Cx<W>`");
            }
            _ => {}
        }
        Inputs { state, cx, batch }
    }
}

/// `S` of `Outcome<S>` or `BatchOutcome<S>`.
fn returned(output: &ReturnType) -> Option<Type> {
    let ReturnType::Type(_, ty) = output else { return None };
    last(ty).filter(|name| *name == "Outcome" || *name == "BatchOutcome")?;
    argument(ty).cloned()
}

/// `S` of `Any<S>`.
fn argument(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let PathArguments::AngleBracketed(args) = &path.path.segments.last()?.arguments else { return None };
    match args.args.first() {
        Some(GenericArgument::Type(ty)) => Some(ty),
        _ => None,
    }
}

/// Without a `&`.
fn bare(ty: &Type) -> &Type {
    if let Type::Reference(r) = ty { &r.elem } else { ty }
}

fn owned_struct(mut ty: Type, errors: &mut Errors) -> Type {
    if let Type::Reference(r) = ty {
        errors.at(r.and_token, "a handler owns its state: drop the `&`");
        ty = *r.elem;
    }
    // Of `Crawl::Fetch`, a variant, rustc says that it is no type; we still register the handler of the struct.
    if let Type::Path(path) = &mut ty
        && let Some(module) = path.path.segments.iter_mut().rev().nth(1)
        && module.ident.to_string().starts_with(char::is_uppercase)
    {
        module.ident = Ident::new(&module.ident.to_string().to_snake_case(), module.ident.span());
    }
    ty
}

fn implement(
    sig: &Signature,
    inputs: &Inputs,
    args: &PolicyArgs,
    errors: &mut Errors,
) -> Option<TokenStream> {
    refuse(sig, errors);
    let output = match &sig.output {
        ReturnType::Type(_, ty) => Some(ty),
        ReturnType::Default => {
            let outcome = if inputs.batch { "BatchOutcome" } else { "Outcome" };
            errors.at(&sig.ident, format!("a handler returns `{outcome}<S>`, where `S` is its state"));
            None
        }
    };
    let state = inputs.state.as_ref()?;
    match (args.batch, inputs.batch) {
        (Some(at), false) => {
            let why = format!("with `batch`, a handler takes {BATCH}");
            errors.push(syn::Error::new(at, why));
        }
        (None, true) => errors.at(&sig.ident, "say how many jobs a step takes: `#[state(batch(max = 100))]`"),
        _ => {}
    }
    let name = &sig.ident;
    // Where rustc complains of an argument; the same tokens declare it, or a `macro_rules!` would keep them apart.
    let this = Ident::new(if inputs.batch { "batch" } else { "self" }, first_token(state));
    let cx = inputs.cx.as_ref().map(|ty| Ident::new("cx", first_token(ty)));
    let sound = output.filter(|_| errors.is_empty());
    let body = if let Some(output) = sound {
        let out = Ident::new("out", first_token(output));
        let wait = sig.asyncness.map(|_| quote!(.await));
        let into = if inputs.batch { quote!(IntoBatchOutcome) } else { quote!(IntoOutcome) };
        quote! {
            let #out = #name(#this, #cx) #wait;
            ::jorb::#into::<Self>::into_outcome(#out)
        }
    } else {
        quote!(::core::unreachable!())
    };
    let cx = cx.filter(|_| sound.is_some()).map_or_else(|| quote!(_), |cx| quote!(#cx));
    // The one difference between the two kinds: where the engine drives `run`.
    let blocking = sig.asyncness.is_none().then(|| quote!(.blocking()));
    let implement = point_at(first_token(state), quote!(impl));
    // Where rustc complains when the future is not `Send`.
    let outcome = |outcome: TokenStream| {
        let (open, close) = (point_at(name.span(), quote!(::)), point_at(name.span(), quote!(>)));
        quote!(#open jorb::#outcome<Self #close)
    };
    let PolicyArgs { policy, limits, .. } = args;
    let limits = (!limits.is_empty()).then(|| limited(limits));
    let run = if inputs.batch {
        let outcome = outcome(quote!(BatchOutcome));
        quote! {
            async fn run(
                self,
                _: &mut ::jorb::Cx<<Self as ::jorb::State>::Workflow>,
            ) -> ::jorb::Outcome<Self> {
                ::jorb::__private::never()
            }
            async fn run_batch(
                #this: ::jorb::Batch<Self>,
                #cx: &mut ::jorb::BatchCx<<Self as ::jorb::State>::Workflow>,
            ) -> #outcome {
                #body
            }
        }
    } else {
        let outcome = outcome(quote!(Outcome));
        quote! {
            async fn run(#this, #cx: &mut ::jorb::Cx<<Self as ::jorb::State>::Workflow>) -> #outcome {
                #body
            }
        }
    };
    let items = quote!({
        const POLICY: ::jorb::Policy = #policy #blocking;
        #limits
        #run
    });
    let items = point_at(first_token(state), items);
    Some(quote!(#implement ::jorb::Handler for #state #items))
}

/// The limiters of a state, and what a step takes of them.
fn limited(limits: &[syn::Path]) -> TokenStream {
    // Both ask for the same, so that what is no limiter is one error.
    let of = |limiter: &syn::Path, what: TokenStream| {
        let span = limiter.span();
        let (open, close) = (point_at(span, quote!(<)), point_at(span, quote!(as ::jorb::Takes<Self>>)));
        quote!(#open #limiter #close::#what)
    };
    let spec = |limiter: &syn::Path| of(limiter, quote!(LIMITER));
    let demand = |limiter: &syn::Path| of(limiter, quote!(demand(self, job)));
    let (specs, demands) = (limits.iter().map(spec), limits.iter().map(demand));
    quote! {
        const LIMITS: &'static [::jorb::LimiterSpec] = &[#(#specs),*];
        fn demand(&self, job: &<<Self as ::jorb::State>::Workflow as ::jorb::Workflow>::Job) -> ::jorb::Demand {
            ::jorb::__private::demand(<Self as ::jorb::Handler>::LIMITS, [#(#demands),*])
        }
    }
}

/// What the engine could not call.
fn refuse(sig: &Signature, errors: &mut Errors) {
    const PLAIN: &str = "a handler is an `async fn` or a plain `fn`";
    if !sig.generics.params.is_empty() {
        errors.at(&sig.generics, "a handler cannot be generic");
    }
    if let Some(clause) = &sig.generics.where_clause {
        errors.at(clause.where_token, "a handler cannot have a `where` clause");
    }
    if let Some(token) = &sig.constness {
        errors.at(token, format!("{PLAIN}: drop the `const`"));
    }
    if let Some(token) = &sig.abi {
        errors.at(token, format!("{PLAIN}: drop the `extern`"));
    }
    if let syn::Safety::Unsafe(token) = &sig.safety {
        errors.at(token, format!("{PLAIN}: drop the `unsafe`"));
    }
}

fn is_cx(ty: &Type) -> bool {
    last(bare(ty)).is_some_and(|name| name == "Cx" || name == "BatchCx")
}

/// `Fetch` of `crawl::Fetch`.
fn last(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|s| &s.ident),
        _ => None,
    }
}

/// On stable `Span::join` is the first token anyway; say so.
fn first_token(tokens: impl ToTokens) -> Span {
    tokens.to_token_stream().into_iter().next().map_or_else(Span::call_site, |t| t.span())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(args: TokenStream, item: &TokenStream) -> String {
        let tokens = state(args, item);
        let file = syn::parse2(tokens.clone()).unwrap_or_else(|e| panic!("{e}: {tokens}"));
        prettyplease::unparse(&file)
    }

    #[test]
    fn an_async_fn() {
        let args = quote!(
            concurrency = 4,
            rate = "10/s",
            burst = LARGE,
            retries = 5,
            crashes = 3,
            backoff = "1s..9s",
            retry_if = net::is_passing
        );
        let item = quote! {
            /// Downloads it.
            pub async fn fetch(state: crawl::Fetch, cx: &mut Cx<Crawl>) -> Outcome<crawl::Fetch> {
                Ok(Next::to(crawl::Done))
            }
        };
        insta::assert_snapshot!(printed(args, &item));
    }

    #[test]
    fn a_blocking_fn_behind_a_cfg() {
        let item = quote! {
            #[cfg(unix)]
            fn parse(crawl::Parse { html }: crawl::Parse) -> Result<Next<crawl::Parse>, io::Error> {
                Ok(Next::to(crawl::Done))
            }
        };
        insta::assert_snapshot!(printed(quote!(timeout = LIMIT, give_up_after = "1h"), &item));
    }

    #[test]
    fn a_batch() {
        let item = quote! {
            async fn upload(batch: Batch<sync::Upload>, cx: &mut BatchCx<Sync>) -> BatchOutcome<sync::Upload> {
                Ok(batch.finish(|_| Ok(Next::to(sync::Done))))
            }
        };
        insta::assert_snapshot!(printed(
            quote!(batch(max = 100, wait = "2s", per_job), rate = "10/s"),
            &item
        ));
    }

    #[test]
    fn mistakes_leave_a_stand_in() {
        let item = quote! {
            async fn fetch(state: &crawl::Fetch, cx: Cx<Crawl>) {}
        };
        insta::assert_snapshot!(printed(quote!(concurrency = 0, next(Done)), &item));
    }

    #[test]
    fn half_typed_code_is_given_back() {
        let items = [
            quote!(),
            quote!(async),
            quote!(async fn fetch),
            quote!(async fn fetch()),
            quote!(async fn fetch(state: crawl::) {}),
            quote!(fn fetch(self: crawl::Fetch, ..) -> {}),
            quote!(fn fetch(state: crawl::Fetch) -> Outcome<crawl::Fetch> { cx. let = }),
        ];
        let args = [quote!(), quote!(rate), quote!(rate =), quote!(= ,), quote!(rate = "10/s", terminal)];
        for item in items {
            for args in &args {
                assert!(state(args.clone(), &item).to_string().contains(&item.to_string()), "{item}");
            }
        }
    }
}

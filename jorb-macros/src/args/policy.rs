//! The keys of a handler, printed as the `Policy` they make.
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Ident, Lit, Path, UnOp};

use super::batch::{Batch, batch};
use super::keys::{Keys, Place};
use super::limiter::limiters;
use super::value;
use crate::error::Errors;
use crate::expand::point_at;

/// How a state runs.
pub(crate) struct PolicyArgs {
    /// Already printed as Rust.
    pub(crate) policy: TokenStream,
    /// The types of limiters.
    pub(crate) limits: Vec<Path>,
    /// Where it says that a step takes several jobs.
    pub(crate) batch: Option<Span>,
}

/// Nothing for a function that claims to be terminal.
///
/// `state` is the handler's, to say where other keys belong.
pub(crate) fn policy(tokens: TokenStream, state: &str, errors: &mut Errors) -> Option<PolicyArgs> {
    let mut keys = Keys::new(Place::Handler(state));
    let mut policy = quote!(::jorb::Policy::DEFAULT);
    let mut no_retry = false;
    let mut limits = Vec::new();
    let mut batches = None;
    keys.each(tokens, errors, |key, meta| {
        if key == "limits" {
            limits = limiters(key, meta)?;
            return Ok(());
        }
        if key == "batch" {
            batches = Some(batch(meta)?);
            return Ok(());
        }
        let value = ungrouped(value(meta, key, example(key))?.parse()?);
        let setting = match key {
            "rate" => {
                policy.extend(rate(&value)?);
                return Ok(());
            }
            "concurrency" | "burst" | "crashes" => whole(key, &value, 1),
            "retries" => whole(key, &value, 0),
            "retry_if" => function(key, &value),
            _ => text(key, &value),
        }?;
        if key == "retries" && is_zero(&value) {
            no_retry = true;
        }
        let key = Ident::new(key, Span::call_site());
        policy.extend(quote!(.#key(#setting)));
        Ok(())
    });
    if let (Some(at), None) = (keys.seen("burst"), keys.seen("rate")) {
        errors.push(syn::Error::new(at, "`burst` has no effect without `rate`"));
    }
    if let Some(Batch { batching, max, per_job }) = batches {
        policy.extend(quote!(.batch(#batching)));
        // Else no two jobs would come together.
        if per_job && keys.seen("rate").is_some() && keys.seen("burst").is_none() {
            policy.extend(quote!(.burst(#max)));
        }
        if let Some(at) = keys.seen("crashes") {
            let why = "`crashes` does not go with `batch`: a death of the process says nothing about one of its jobs";
            errors.push(syn::Error::new(at, why));
        }
    }
    let (retries, budget) = (keys.seen("retries"), keys.seen("give_up_after"));
    for key in ["backoff", "retry_if"] {
        let Some(at) = keys.seen(key) else { continue };
        let why = match (retries, budget) {
            (None, None) => "without `retries` or `give_up_after`",
            _ if no_retry => "with `retries = 0`",
            _ => continue,
        };
        errors.push(syn::Error::new(at, format!("`{key}` has no effect {why}")));
    }
    if let (None, Some(_)) = (retries, budget) {
        policy.extend(quote!(.retries(::core::primitive::u32::MAX)));
    }
    let batch = keys.seen("batch");
    keys.seen("terminal").is_none().then_some(PolicyArgs { policy, limits, batch })
}

/// How fast: as it is said, or as a service lets us.
pub(super) fn rate(value: &Expr) -> syn::Result<TokenStream> {
    if let Some(adaptive) = adaptive(value)? {
        return Ok(quote!(.adaptive(#adaptive)));
    }
    let rate = text("rate", value)?;
    Ok(quote!(.rate(#rate)))
}

/// `adaptive("10/s", min = "1/s", max = "100/s")`, or the same with `aimd`; nothing for anything else.
fn adaptive(value: &Expr) -> syn::Result<Option<TokenStream>> {
    const SHAPE: &str = "an adaptive rate is a rate to begin with, and bounds if you know some: \
        `adaptive(\"10/s\", min = \"1/s\", max = \"100/s\")`";
    let Expr::Call(call) = value else { return Ok(None) };
    let Expr::Path(path) = &*call.func else { return Ok(None) };
    let maker = match path.path.get_ident() {
        Some(name) if name == "adaptive" => quote!(new),
        Some(name) if name == "aimd" => quote!(aimd),
        _ => return Ok(None),
    };
    let mut args = call.args.iter();
    let initial = match args.next() {
        None | Some(Expr::Assign(_)) => return Err(syn::Error::new_spanned(value, SHAPE)),
        Some(initial) => text("rate", initial)?,
    };
    let mut made = quote!(::jorb::Adaptive::#maker(#initial));
    let mut seen = Vec::new();
    for arg in args {
        let wrong = || syn::Error::new_spanned(arg, SHAPE);
        let Expr::Assign(bound) = arg else { return Err(wrong()) };
        let Expr::Path(name) = &*bound.left else { return Err(wrong()) };
        let name = name.path.get_ident().filter(|name| *name == "min" || *name == "max").ok_or_else(wrong)?;
        if seen.contains(&name) {
            return Err(syn::Error::new_spanned(name, format!("`{name}` is given twice")));
        }
        seen.push(name);
        let rate = text("rate", &bound.right)?;
        let name = Ident::new(&name.to_string(), Span::call_site());
        made.extend(quote!(.#name(#rate)));
    }
    Ok(Some(made))
}

/// A literal is checked here; of anything else the compiler knows the type, and says so at the expression.
pub(super) fn whole(key: &str, value: &Expr, least: u32) -> syn::Result<TokenStream> {
    let error = |why: String| Err(syn::Error::new_spanned(value, why));
    match value {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(n) => match n.base10_parse::<u32>() {
                Ok(number) if number < least => error(format!("`{key}` must be at least {least}")),
                Ok(_) => Ok(quote!(#n)),
                Err(_) => error(format!("`{key}` must be at most {}", u32::MAX)),
            },
            _ => error(format!("`{key}` is a whole number, like `4`, or a constant")),
        },
        Expr::Unary(minus) if matches!(minus.op, UnOp::Neg(_)) => {
            error(format!("`{key}` is a whole number, at least {least}"))
        }
        constant if least == 0 => Ok(quote!(#constant)),
        constant => Ok(checked(key, constant)),
    }
}

/// The compiler knows what it must take and give.
fn function(key: &str, value: &Expr) -> syn::Result<TokenStream> {
    match value {
        Expr::Lit(_) | Expr::Unary(_) => Err(syn::Error::new_spanned(
            value,
            format!(
                "`{key}` names a function, like `{}`: `fn(&(dyn Error + 'static)) -> bool`",
                example(key)
            ),
        )),
        function => Ok(quote!(#function)),
    }
}

/// Texts are read by the constant functions that read them everywhere else; what they say stands at the literal.
pub(super) fn text(key: &str, value: &Expr) -> syn::Result<TokenStream> {
    match value {
        Expr::Lit(lit) if matches!(lit.lit, Lit::Str(_)) => {
            Ok(checked(if is_duration(key) { "duration" } else { key }, value))
        }
        Expr::Lit(_) | Expr::Unary(_) => {
            let why = format!("`{key}` is a text, like `{}`, or a constant", example(key));
            Err(syn::Error::new_spanned(value, why))
        }
        constant if is_duration(key) => Ok(checked(key, constant)),
        constant => Ok(quote!(#constant)),
    }
}

fn is_duration(key: &str) -> bool {
    matches!(key, "timeout" | "give_up_after" | "wait")
}

pub(super) fn example(key: &str) -> &'static str {
    match key {
        "rate" => "\"10/s\"",
        "backoff" => "\"200ms..30s\"",
        "retry_if" => "is_transient",
        "give_up_after" => "\"1h\"",
        "timeout" => "\"30s\"",
        "max" => "100",
        "wait" => "\"2s\"",
        _ => "4",
    }
}

/// The runtime crate checks the value while compiling; its error points at the expression.
fn checked(check: &str, value: &Expr) -> TokenStream {
    let at = value.span();
    if matches!(value, Expr::Lit(_)) {
        let check = Ident::new(check, at);
        return quote_spanned!(at=> ::jorb::__private::#check(#value));
    }
    // Here our identifiers would stand where editors look for the user's, so a block carries the span, and rustc
    // says one note more.
    let check = Ident::new(check, Span::call_site());
    let call = point_at(at, quote!(::jorb::__private::#check(#value)));
    point_at(at, quote!(const { #call }))
}

fn is_zero(value: &Expr) -> bool {
    matches!(value, Expr::Lit(lit) if matches!(&lit.lit, Lit::Int(n) if n.base10_digits() == "0"))
}

/// What a `macro_rules!` passes on stands in a group without delimiters.
pub(super) fn ungrouped(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => ungrouped(*group.expr),
        other => other,
    }
}

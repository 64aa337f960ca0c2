//! What we prove about a graph before printing it, and its picture.
use quote::quote;
use syn::Ident;

use crate::error::Errors;
use crate::model::{State, Workflow};

/// Reports what makes no sense at one state; then, of a graph where every state does, what makes none as a whole.
pub(crate) fn check(name: &Ident, states: &[State], errors: &mut Errors) {
    for (i, state) in states.iter().enumerate().filter(|(_, s)| !s.broken) {
        check_state(i, state, errors);
    }
    if !errors.is_empty() {
        return; // paths through a broken graph only add noise
    }
    let all = || 0..states.len();
    if !states.iter().any(|s| s.initial) {
        return errors.at(name, "no initial state: mark at least one variant `#[state(initial, ..)]`");
    }
    if !states.iter().any(|s| s.terminal) {
        return errors.at(name, "no terminal state: mark at least one variant `#[state(terminal)]`");
    }
    let next = |i: usize| states[i].next.iter().map(|e| e.to).collect::<Vec<_>>();
    let onward = |i: usize| states[i].onward().map(|e| e.to).collect::<Vec<_>>();
    let reached = flood(states.len(), all().filter(|i| states[*i].initial), onward);
    let ends = flood(states.len(), all().filter(|i| states[*i].terminal), |i| {
        all().filter(|j| states[*j].next.iter().any(|e| e.to == i)).collect()
    });
    let lost: Vec<usize> = all().filter(|i| !reached[*i]).collect();
    let leads = paths(states.len(), &lost, onward);
    // One edge to a root mends all that is behind it. Of a cycle the first state stands for all.
    for &i in lost.iter().filter(|i| lost.iter().all(|j| !leads[*j][**i] || (leads[**i][*j] && *i <= j))) {
        let name = &states[i].ident;
        let others = match lost.iter().filter(|j| leads[i][**j]).count() - 1 {
            0 => String::new(),
            1 => " (nor can 1 state behind it)".into(),
            n => format!(" (nor can {n} states behind it)"),
        };
        errors.at(
            name,
            format!("state `{name}` cannot be reached from any initial state{others}: list it in a `next(..)`, `kick(..)` or `on_failure(..)`, or mark it `initial`"),
        );
    }
    let stuck: Vec<usize> = all().filter(|i| reached[*i] && !ends[*i]).collect();
    let leads = paths(states.len(), &stuck, next);
    // Likewise one way out of a trap mends all that leads into it and into no other.
    for &i in stuck.iter().filter(|i| stuck.iter().all(|j| !leads[**i][*j] || (leads[*j][**i] && *i <= j))) {
        let name = &states[i].ident;
        let failing = if leads[i].iter().zip(states).any(|(here, s)| *here && s.on_failure.is_some()) {
            " but by failing"
        } else {
            ""
        };
        let only_here = |j: usize| stuck.iter().all(|k| !leads[j][*k] || leads[*k][i]);
        let others = match stuck.iter().filter(|j| only_here(**j)).count() - 1 {
            0 => String::new(),
            1 => format!(" (nor can 1 state that leads only to `{name}`)"),
            n => format!(" (nor can {n} states that lead only to `{name}`)"),
        };
        errors.at(
            name,
            format!("state `{name}` can never reach a terminal state{failing}{others}: give it or one of its next states a way out"),
        );
    }
}

fn check_state(i: usize, state: &State, errors: &mut Errors) {
    let name = &state.ident;
    match (state.terminal, state.next.first()) {
        (true, Some(first)) => errors
            .push(syn::Error::new(first.span, format!("terminal state `{name}` cannot have next states"))),
        (false, None) => errors.at(
            name,
            format!("state `{name}` goes nowhere: add `#[state(next(..))]` or `#[state(terminal)]`"),
        ),
        _ => {}
    }
    if let (true, Some(first)) = (state.terminal, state.kick.first()) {
        errors.push(syn::Error::new(first.span, format!("terminal state `{name}` cannot kick jobs")));
    }
    let Some(edge) = &state.on_failure else { return };
    if state.terminal {
        errors.push(syn::Error::new(
            edge.span,
            format!("terminal state `{name}` cannot fail: it has no handler"),
        ));
    } else if edge.to == i {
        errors.push(syn::Error::new(
            edge.span,
            format!(
                "state `{name}` cannot fail into itself: for more attempts, give its handler `retries` or `give_up_after`"
            ),
        ));
    }
}

fn flood(len: usize, start: impl Iterator<Item = usize>, out: impl Fn(usize) -> Vec<usize>) -> Vec<bool> {
    let mut seen = vec![false; len];
    let mut todo: Vec<usize> = start.collect();
    while let Some(i) = todo.pop() {
        if !std::mem::replace(&mut seen[i], true) {
            todo.extend(out(i));
        }
    }
    seen
}

/// Which states each of `some` leads to, itself among them; of the other states nothing.
fn paths(len: usize, some: &[usize], out: impl Fn(usize) -> Vec<usize>) -> Vec<Vec<bool>> {
    let mut leads = vec![Vec::new(); len];
    for &i in some {
        leads[i] = flood(len, [i].into_iter(), &out);
    }
    leads
}

/// The graph in Mermaid's words, as `jorb::Graph::mermaid` prints it, for the docs of the enum: what is behind a
/// `cfg` stays behind it.
pub(crate) fn docs(workflow: &Workflow) -> proc_macro2::TokenStream {
    let states = &workflow.states;
    let line = |text: String, guards: &[&State]| {
        let conditions: Vec<_> =
            guards.iter().flat_map(|s| &s.cfg).filter_map(|a| a.meta.require_list().ok()).collect();
        let conditions = conditions.iter().map(|list| &list.tokens);
        if guards.iter().all(|s| s.cfg.is_empty()) {
            quote!(#[doc = #text])
        } else {
            quote!(#[cfg_attr(all(#(#conditions),*), doc = #text)])
        }
    };
    let lines = states.iter().flat_map(|state| {
        let name = state.name();
        let edge = |to: usize, mark: &str| {
            line(format!("    {name} --> {}{mark}", states[to].name()), &[state, &states[to]])
        };
        let initial = state.initial.then(|| line(format!("    [*] --> {name}"), &[state]));
        let terminal = state.terminal.then(|| line(format!("    {name} --> [*]"), &[state]));
        let mut lines: Vec<_> = initial.into_iter().collect();
        lines.extend(state.next.iter().map(|e| edge(e.to, "")));
        lines.extend(state.kick.iter().map(|e| edge(e.to, ": kick")));
        lines.extend(state.on_failure.iter().map(|e| edge(e.to, ": on failure")));
        lines.extend(terminal);
        lines
    });
    quote! {
        #[doc = ""]
        #[doc = "```mermaid"]
        #[doc = "stateDiagram-v2"]
        #(#lines)*
        #[doc = "```"]
    }
}

//! The picture of a workflow, as text.
use std::fmt;

use crate::StateSpec;

/// The states of a workflow and their edges: [`Workflow::GRAPH`](crate::Workflow::GRAPH).
///
/// It prints one line per state; [`Graph::mermaid`] prints a diagram that GitHub, GitLab and most documentation
/// tools draw.
#[derive(Debug, Clone, Copy)]
pub struct Graph {
    /// The workflow's name.
    pub workflow: &'static str,
    /// Its states, in declaration order.
    pub states: &'static [StateSpec],
}

impl Graph {
    /// The graph as a Mermaid state diagram: moves are plain arrows, kicks are marked `kick`, and where a job goes that
    /// failed for good `on failure`.
    #[must_use]
    pub fn mermaid(self) -> impl fmt::Display {
        Mermaid(self)
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.states.iter().map(|s| s.name.len()).max().unwrap_or(0);
        for state in self.states {
            let mark = match (state.initial, state.terminal()) {
                (true, false) => ">",
                (false, true) => "=",
                (true, true) => ">=",
                (false, false) => "",
            };
            let alone = state.next.is_empty() && state.kick.is_empty() && state.on_failure.is_none();
            let width = if alone { 0 } else { width };
            write!(f, "{mark:2} {:width$}", state.name)?;
            if !state.next.is_empty() {
                write!(f, "  -> {}", state.next.join(", "))?;
            }
            if !state.kick.is_empty() {
                write!(f, "  kicks {}", state.kick.join(", "))?;
            }
            if let Some(to) = state.on_failure {
                write!(f, "  on failure {to}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

struct Mermaid(Graph);

impl fmt::Display for Mermaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stateDiagram-v2")?;
        for state in self.0.states {
            let name = state.name;
            if state.initial {
                writeln!(f, "    [*] --> {name}")?;
            }
            for to in state.next {
                writeln!(f, "    {name} --> {to}")?;
            }
            for child in state.kick {
                writeln!(f, "    {name} --> {child}: kick")?;
            }
            if let Some(to) = state.on_failure {
                writeln!(f, "    {name} --> {to}: on failure")?;
            }
            if state.terminal() {
                writeln!(f, "    {name} --> [*]")?;
            }
        }
        Ok(())
    }
}

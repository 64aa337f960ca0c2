//! A small workflow with all kinds of states. No test here runs its handlers.
use jorb::prelude::*;

/// The context of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Something to read.
    pub text: String,
    /// Something to count.
    pub n: u64,
}

/// Of a package that is changed.
#[workflow(overall = String, job = Note)]
#[derive(Debug, Clone, PartialEq)]
pub enum Flow {
    /// Has no fields, and used to have another name.
    #[state(initial, next(Build), kick(Edit), alias = "Change")]
    Edit,
    /// Has one.
    #[state(initial, next(Done, BuildFailed, Edit), kick(Edit, Build))]
    Build {
        /// A field.
        tree: String,
    },
    /// Without fields.
    #[state(terminal)]
    Done,
    /// With one.
    #[state(terminal)]
    BuildFailed {
        /// A field.
        code: i32,
    },
}

#[state]
async fn edit(_: flow::Edit) -> Outcome<flow::Edit> {
    Ok(Next::to(flow::Build { tree: "t".into() }))
}

#[state(retries = 3)]
async fn build(_: flow::Build) -> Outcome<flow::Build> {
    Ok(Next::to(flow::Done))
}

/// Another one.
#[workflow]
#[derive(Debug, Clone)]
pub enum Other {
    /// A state.
    #[state(initial, next(Done))]
    Edit,
    /// A state.
    #[state(terminal)]
    Done,
}

#[state]
async fn other_edit(_: other::Edit) -> Outcome<other::Edit> {
    Ok(Next::to(other::Done))
}

//! States and workflows with the names of other things; payload types named from where the enum stands.
use jorb::prelude::*;

#[workflow]
#[derive(Debug, Clone, PartialEq)]
enum Odd {
    #[state(initial, next(State, Kick, None, Ok, Type))]
    Next,
    #[state(next(r#Type), kick(Kick, Next))]
    State { next: std::string::String },
    #[state(next(Workflow))]
    Kick(std::option::Option<u8>),
    #[state(next(Odd))]
    r#Type { r#type: u8, state: bool, cx: u8, data: u8 },
    #[state(next(Odd))]
    Workflow,
    #[state(next(Odd))]
    None,
    #[state(next(Odd))]
    Ok(u8),
    #[state(next(String))]
    Odd,
    #[state(next(Option))]
    String,
    #[state(next(Clone))]
    Option,
    #[state(next(Default))]
    Clone,
    #[state(terminal)]
    Default,
}

macro_rules! to {
    ($($name:ident($state:ty) -> $next:expr;)*) => { $(
        #[state]
        async fn $name(_: $state) -> Outcome<$state> {
            Ok(Next::to($next))
        }
    )* };
}

to! {
    next(odd::Next) -> odd::None;
    kick(odd::Kick) -> odd::Workflow;
    kind(odd::Type) -> odd::Odd;
    workflow(odd::Workflow) -> odd::Odd;
    none(odd::None) -> odd::Odd;
    ok(odd::Ok) -> odd::Odd;
    odd(odd::Odd) -> odd::String;
    string(odd::String) -> odd::Option;
    option(odd::Option) -> odd::Clone;
    clone(odd::Clone) -> odd::Default;
}

// With every state in scope, a user's prelude still wins where it was asked for by name.
mod by_name {
    use super::odd::State;
    use jorb::{Cx, Next, Outcome, state};

    #[state]
    pub fn state(state: State, cx: &mut Cx<super::Odd>) -> Outcome<State> {
        let kick = jorb::Kick::new(super::odd::Next, cx.job);
        let data = state.next.len() as u8;
        Ok(Next::to(super::odd::Type { r#type: 1, state: true, cx: 2, data }).kick([kick]))
    }
}

pub mod outer {
    use jorb::prelude::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Page(pub u8);

    /// Its module is a keyword.
    pub mod inner {
        use jorb::prelude::*;

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Line;

        #[workflow(job = super::Page)]
        #[derive(Debug, Clone, PartialEq)]
        pub enum Move {
            #[state(initial, next(Done))]
            Start { page: super::Page, line: self::Line, all: Vec<(super::Page, [Line; 1])> },
            #[state(terminal)]
            Done,
        }

        #[state]
        fn start(state: r#move::Start) -> Outcome<r#move::Start> {
            assert_eq!(state.all, [(state.page, [state.line])]);
            Ok(Next::to(r#move::Done))
        }
    }
}

// All states in scope: each module imports all of the other.
pub mod all {
    use jorb::prelude::*;
    use walk::*;

    #[workflow]
    #[derive(Clone)]
    pub enum Walk {
        #[state(initial, next(Off))]
        On { at: Place },
        #[state(terminal)]
        Off,
    }

    #[derive(Clone, Serialize, Deserialize)]
    pub struct Place;

    #[state]
    fn on(On { at: Place }: On) -> Outcome<On> {
        Ok(Next::to(Off))
    }
}

fn main() {
    assert_eq!((Odd::STATES[3].name, Odd::STATES[0].next[4]), ("Type", "Type"));
    let odd = Odd::Type { r#type: 1, state: true, cx: 2, data: 3 };
    let text = r#"{"type":1,"state":true,"cx":2,"data":3}"#;
    assert_eq!(Odd::load("Type", Some(text)), Some(Ok(odd.clone())));
    assert_eq!(odd.save().1, Ok(Some(text.to_owned())));
    let mut cx = Cx::<Odd>::test((), (), ());
    let next = by_name::state(odd::State { next: "four".into() }, &mut cx).unwrap();
    assert_eq!(next.as_move().to, Odd::Type { r#type: 1, state: true, cx: 2, data: 4 });

    use outer::{
        Page,
        inner::{Line, Move},
    };
    let start = Move::Start { page: Page(1), line: Line, all: vec![(Page(1), [Line])] };
    let (start, text) = start.save();
    assert_eq!(Move::load("Start", text.unwrap().as_deref()), Some(Ok(start)));
}

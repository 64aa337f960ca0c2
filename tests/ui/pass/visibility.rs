//! The states can be seen from where the enum can.
pub mod outer {
    pub mod inner {
        use jorb::prelude::*;

        macro_rules! workflow {
            ($vis:vis $name:ident $states:ident $handler:ident) => {
                #[workflow]
                #[derive(Clone)]
                $vis enum $name {
                    #[state(initial, next(Done))]
                    Start { n: u8 },
                    #[state(terminal)]
                    Done(u8),
                }

                #[state]
                $vis fn $handler(state: $states::Start) -> Outcome<$states::Start> {
                    Ok(Next::to($states::Done(state.n)))
                }
            };
        }

        workflow!(pub Public public start_public);
        workflow!(pub(crate) OfCrate of_crate start_of_crate);
        workflow!(pub(super) OfSuper of_super start_of_super);
        workflow!(pub(in super::super) OfRoot of_root start_of_root);
        workflow!(pub(in crate::outer) OfOuter of_outer start_of_outer);
        workflow!(pub(self) OfSelf of_self start_of_self);
        workflow!(Private private start_private);

        pub fn all() {
            assert!(start_private(private::Start { n: 1 }).is_ok());
            assert!(start_of_self(of_self::Start { n: 1 }).is_ok());
        }
    }

    pub fn all() {
        use inner::{of_outer, of_super};
        assert!(inner::start_of_outer(of_outer::Start { n: 1 }).is_ok());
        assert!(inner::start_of_super(of_super::Start { n: 1 }).is_ok());
    }
}

fn main() {
    use jorb::prelude::*;
    use outer::inner::{self, of_crate, of_root, public};
    outer::all();
    inner::all();
    let next = inner::start_public(public::Start { n: 1 }).unwrap();
    assert!(matches!(next.as_move().to, inner::Public::Done(1)));
    assert!(inner::start_of_crate(of_crate::Start { n: 1 }).is_ok());
    assert!(inner::start_of_root(of_root::Start { n: 1 }).is_ok());
    assert_eq!(public::Start::NAME, "Start");
}

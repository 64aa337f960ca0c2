//! What the compiler says: one mistake per file of `fail`, the whole answer in the `.stderr` beside it.
use std::{collections::BTreeMap, fs, path::Path};

/// Cases with more errors than one, and why.
const MORE: &[(&str, usize, &str)] = &[
    ("handler_first_parameter_no_state", 6, "each item of the impl asks what the state's workflow is"),
    ("handler_misspelled_state", 2, "rustc's, and ours at the state that is left without a handler"),
    ("handler_takes_enum", 7, "as `handler_first_parameter_no_state`, and a state without a handler"),
    ("job_without_derives", 3, "one for each derive that is missing"),
    ("many_mistakes", 7, "that many mistakes"),
    ("next_takes_variant", 2, "it is no state, and no next state"),
    ("payload_bad_serde_attribute", 3, "after an error of its own serde derives nothing"),
    ("payload_not_clone", 2, "the enum's derive, and the struct's"),
    ("payload_not_send", 11, "each impl that names the workflow asks for `Send` and for `Sync`"),
    ("payload_not_serialize", 4, "all of serde's derive"),
    ("state_without_workflow", 2, "one for each `#[state]`: an attribute macro cannot stand on a variant"),
    ("workflow_app_not_sync", 3, "the context of each handler has it"),
    ("workflow_module_taken", 19, "rustc looks for the states in the other module"),
];

#[test]
fn cases() {
    let t = trybuild::TestCases::new();
    t.pass("pass/*.rs");
    t.compile_fail("fail/*.rs");
}

#[test]
fn one_mistake_is_one_error() {
    let more: BTreeMap<String, usize> = MORE.iter().map(|(case, n, _)| ((*case).to_owned(), *n)).collect();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fail")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "stderr") {
            let text = fs::read_to_string(&path).unwrap();
            let errors = text.lines().filter(|l| l.starts_with("error:") || l.starts_with("error["));
            found.insert(path.file_stem().unwrap().to_string_lossy().into_owned(), errors.count());
        }
    }
    assert!(found.len() > 75, "where are the cases?");
    found.retain(|_, errors| *errors != 1);
    assert_eq!(found, more);
}

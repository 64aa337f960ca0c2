//! Makes a published manifest resolve with nothing but what cargo has on this machine.
use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsStr,
    fs, io,
    path::Path,
};

use semver::{Version, VersionReq};
use toml_edit::{DocumentMut, Item, Table, TableLike, TomlError};

/// The packages that cargo has downloaded.
#[derive(Default)]
pub(crate) struct Cache {
    versions: HashMap<String, Vec<Version>>,
}

impl Cache {
    /// Reads the names in `home/registry/cache`, where `home` is cargo's. None is no error: then nothing is there.
    pub(crate) fn read(home: &Path) -> io::Result<Self> {
        let mut cache = Cache::default();
        for registry in folders(&home.join("registry/cache"))? {
            for file in fs::read_dir(registry)? {
                let path = file?.path();
                let name = path.file_stem().and_then(OsStr::to_str).and_then(name_and_version);
                if let Some((name, version)) = name {
                    cache.versions.entry(name.to_owned()).or_default().push(version);
                }
            }
        }
        Ok(cache)
    }

    fn has(&self, name: &str, wanted: &VersionReq) -> bool {
        self.versions.get(name).is_some_and(|all| all.iter().any(|version| wanted.matches(version)))
    }
}

/// The folders in `parent`, sorted; none if it does not exist.
pub(crate) fn folders(parent: &Path) -> io::Result<BTreeSet<std::path::PathBuf>> {
    let entries = match fs::read_dir(parent) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let paths: Result<BTreeSet<_>, _> = entries.map(|entry| Ok::<_, io::Error>(entry?.path())).collect();
    Ok(paths?.into_iter().filter(|path| path.is_dir()).collect())
}

/// Both have hyphens: the version starts behind the first one from where on it reads as a version.
fn name_and_version(stem: &str) -> Option<(&str, Version)> {
    stem.match_indices('-').find_map(|(at, _)| Some((&stem[..at], Version::parse(&stem[at + 1..]).ok()?)))
}

/// Cuts what is not needed to compile the package, and what is optional and not on this machine:
///
/// - dev-dependencies, and the tests, examples and benchmarks that want them;
/// - dependencies that are optional, or for other platforms, of which `cache` lacks any fitting version;
/// - what features say about any of them, and all that features say which are off by default: cargo resolves for all
///   features, but builds with the default ones.
///
/// A dependency that is needed stays, whether it is there or not: what comes of that is for the build to say.
pub(crate) fn prepare(manifest: &str, cache: &Cache) -> Result<String, TomlError> {
    let mut manifest: DocumentMut = manifest.parse()?;
    for unneeded in ["test", "example", "bench"] {
        manifest.remove(unneeded);
    }
    let mut cut = BTreeSet::new();
    cut_from(manifest.as_table_mut(), cache, false, &mut cut);
    if let Some(targets) = manifest.get_mut("target").and_then(Item::as_table_like_mut) {
        for (_, target) in targets.iter_mut() {
            if let Some(target) = target.as_table_like_mut() {
                cut_from(target, cache, true, &mut cut);
            }
        }
    }
    // What one platform lacks may be there for another.
    for left in dependencies(&manifest) {
        cut.remove(&left);
    }
    cut_from_features(&mut manifest, &cut);
    // Without it, cargo would look for a workspace in the folders above, the user's own among them.
    if !manifest.contains_key("workspace") {
        manifest.insert("workspace", Item::Table(Table::new()));
    }
    Ok(manifest.to_string())
}

const NEEDED: [&str; 3] = ["dependencies", "build-dependencies", "build_dependencies"];

/// Cuts dependencies from one table that holds `[dependencies]` and the like, and notes their names.
fn cut_from(table: &mut dyn TableLike, cache: &Cache, platform: bool, cut: &mut BTreeSet<String>) {
    for kind in ["dev-dependencies", "dev_dependencies"] {
        let dev = table.remove(kind);
        cut.extend(dev.iter().filter_map(Item::as_table_like).flat_map(names));
    }
    for kind in NEEDED {
        let Some(dependencies) = table.get_mut(kind).and_then(Item::as_table_like_mut) else { continue };
        for name in names(dependencies) {
            let Some(dependency) = dependencies.get(&name) else { continue };
            let optional = dependency.get("optional").and_then(Item::as_bool) == Some(true);
            if (optional || platform) && lacks(cache, &name, dependency) {
                dependencies.remove(&name);
                cut.insert(name);
            }
        }
    }
}

fn lacks(cache: &Cache, name: &str, dependency: &Item) -> bool {
    let field = |key| dependency.get(key).and_then(Item::as_str);
    let Some(wanted) = dependency.as_str().or_else(|| field("version")) else { return false };
    VersionReq::parse(wanted).is_ok_and(|wanted| !cache.has(field("package").unwrap_or(name), &wanted))
}

/// The names of all dependencies that are left.
fn dependencies(manifest: &DocumentMut) -> Vec<String> {
    let targets = manifest.get("target").and_then(Item::as_table_like);
    let targets = targets.into_iter().flat_map(|all| all.iter().map(|(_, target)| target));
    std::iter::once(manifest.as_item())
        .chain(targets)
        .flat_map(|table| NEEDED.iter().filter_map(|kind| table.get(kind)?.as_table_like()))
        .flat_map(names)
        .collect()
}

fn names(table: &dyn TableLike) -> Vec<String> {
    table.iter().map(|(name, _)| name.to_owned()).collect()
}

/// Cuts `dep:x`, `x`, `x/feature` and `x?/feature` for each `x` that was cut; and everything from features that are off
/// by default. The features themselves stay: the code, and other features, may ask for them by name.
fn cut_from_features(manifest: &mut DocumentMut, cut: &BTreeSet<String>) {
    let Some(features) = manifest.get_mut("features").and_then(Item::as_table_like_mut) else { return };
    let declared: BTreeSet<String> = names(features).into_iter().collect();
    let on = on_by_default(features);
    for (feature, enables) in features.iter_mut() {
        let Some(enables) = enables.as_array_mut() else { continue };
        enables.retain(|entry| {
            let entry = entry.as_str().unwrap_or_default();
            let left = match (entry.strip_prefix("dep:"), entry.split_once('/')) {
                (Some(name), _) => !cut.contains(name),
                (None, Some((name, _))) => !cut.contains(name.trim_end_matches('?')),
                (None, None) => declared.contains(entry) || !cut.contains(entry),
            };
            // `dep:x` has a meaning besides turning on: it hides the feature `x` that `x` would be.
            left && (on.contains(feature.get()) || entry.starts_with("dep:"))
        });
    }
}

fn on_by_default(features: &dyn TableLike) -> BTreeSet<String> {
    let (mut on, mut look_at) = (BTreeSet::new(), vec!["default".to_owned()]);
    while let Some(feature) = look_at.pop() {
        let enables = features.get(&feature).and_then(Item::as_array);
        if on.insert(feature) {
            // `x/feature` turns on the feature `x` too.
            let entries = enables.into_iter().flatten().filter_map(|entry| entry.as_str()?.split('/').next());
            look_at.extend(entries.map(str::to_owned));
        }
    }
    on
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_starts_where_one_can_be_read() {
        let read = |stem| name_and_version(stem).map(|(name, version)| (name, version.to_string()));
        assert_eq!(read("a-b-1.0.2"), Some(("a-b", "1.0.2".into())));
        assert_eq!(read("x-1.1.3+spec-1.1.0"), Some(("x", "1.1.3+spec-1.1.0".into())));
        assert_eq!(read("x-7-1.0.0-rc.1"), Some(("x-7", "1.0.0-rc.1".into())));
        assert_eq!(read("readme"), None);
    }

    #[test]
    fn what_is_lacking_is_cut_where_it_is_optional() {
        let cache = Cache { versions: HashMap::from([("there".into(), vec![Version::new(1, 2, 0)])]) };
        let prepared = prepare(
            r#"
[package]
name = "x"

[dependencies]
needed = "9"
there = { version = "1.1", optional = true }
old = { version = "2", package = "there", optional = true }
gone = { version = "1", optional = true }

[features]
default = ["std", "gone"]
gone = ["dep:gone"]
std = ["there/std", "old?/std", "old", "dep:there"]
more = ["there/more", "dep:there"]

[dev-dependencies]
test = "1"

[target.'cfg(windows)'.dependencies]
windows = "1"
there = "1"

[[bench]]
name = "b"
"#,
            &cache,
        )
        .unwrap();
        let expected = r#"
[package]
name = "x"

[dependencies]
needed = "9"
there = { version = "1.1", optional = true }

[features]
default = ["std", "gone"]
gone = []
std = ["there/std", "dep:there"]
more = [ "dep:there"]

[target.'cfg(windows)'.dependencies]
there = "1"

[workspace]
"#;
        assert_eq!(prepared, expected);
    }
}

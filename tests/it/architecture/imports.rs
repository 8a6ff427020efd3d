//! Which file of `src` uses which, read from the syntax: an item is resolved to the file that defines it, through re-exports.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Meta, UseTree, Visibility};

/// A module by its path below the crate: `["registry", "auth"]`.
type Module = Vec<String>;

/// One file of `src`.
struct File {
    /// Relative to `src`.
    path: PathBuf,
    module: Module,
    /// Names of the items that it defines.
    defines: BTreeSet<String>,
    /// What its `use` declarations bring in, by the name it has here.
    imports: HashMap<String, Vec<String>>,
    /// Paths that its code names or imports, as written.
    paths: Vec<Vec<String>>,
}

/// The files of `src`, and what each uses.
pub struct Imports(BTreeMap<Module, File>);

impl Imports {
    /// Reads every file of `src`; inline tests do not count.
    pub fn read(src: &Path) -> Self {
        let mut files = Vec::new();
        source_files(src, &mut files);
        let files = files.into_iter().map(|path| {
            let file = File::read(src, &path);
            (file.module.clone(), file)
        });
        Self(files.collect())
    }

    /// For each file the others that it uses, relative to `src`.
    pub fn edges(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let edges = self.0.values().map(|file| {
            let used = file.paths.iter().filter_map(|path| self.resolve(&file.module, path, 0));
            // A path that only begins at the crate names no file.
            let used = used.filter(|used| *used != file.module && !used.is_empty());
            let used = used.map(|used| self.0[&used].path.as_path());
            (file.path.as_path(), used.collect())
        });
        edges.collect()
    }

    /// The module that defines what a path in a module names.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        // Re-exports may lead in a circle only in code that does not compile.
        if depth > 16 {
            return None;
        }
        let (mut module, mut rest) = self.start(from, path)?;
        while let Some((first, after)) = rest.split_first() {
            let below: Module = module.iter().cloned().chain([first.clone()]).collect();
            if self.0.contains_key(&below) {
                (module, rest) = (below, after.to_vec());
                continue;
            }
            let file = self.0.get(&module)?;
            if file.defines.contains(first) {
                return Some(module);
            }
            let imported = file.imports.get(first)?;
            let whole: Vec<String> = imported.iter().chain(after).cloned().collect();
            return self.resolve(&module, &whole, depth + 1);
        }
        Some(module)
    }

    /// Where a path begins, and what of it is left.
    fn start(&self, from: &Module, path: &[String]) -> Option<(Module, Vec<String>)> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some((Vec::new(), rest.to_vec())),
            "self" => Some((from.clone(), rest.to_vec())),
            "super" => {
                let parent: Module = from.split_last()?.1.to_vec();
                if rest.first().is_some_and(|next| next == "super") {
                    return self.start(&parent, rest);
                }
                Some((parent, rest.to_vec()))
            }
            name => {
                let below: Module = from.iter().cloned().chain([name.to_string()]).collect();
                // A name without a path after it is a variable, even if a module has the same name.
                if self.0.contains_key(&below) && !rest.is_empty() {
                    return Some((below, rest.to_vec()));
                }
                let imported = self.0.get(from)?.imports.get(name)?;
                if imported.first() == Some(first) {
                    return None;
                }
                let whole: Vec<String> = imported.iter().chain(rest).cloned().collect();
                self.start(from, &whole)
            }
        }
    }
}

fn source_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

impl File {
    fn read(src: &Path, path: &Path) -> Self {
        let relative = path.strip_prefix(src).unwrap().to_path_buf();
        let mut module: Module =
            relative.with_extension("").iter().map(|part| part.to_str().unwrap().to_string()).collect();
        if module.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
            module.pop();
        }
        if relative == Path::new("main.rs") {
            module = vec!["main".to_string()];
        }
        let syntax = syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap();
        let mut file =
            Self { path: relative, module, defines: BTreeSet::new(), imports: HashMap::new(), paths: Vec::new() };
        for item in syntax.items.iter().filter(|item| !is_for_tests(attributes(item))) {
            file.defines.extend(name(item));
            file.visit_item(item);
        }
        file
    }
}

impl<'ast> Visit<'ast> for File {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut leaves = Vec::new();
        collect(&item.tree, &mut Vec::new(), &mut leaves);
        for (name, path) in leaves {
            // A re-export is no use of its own.
            if matches!(item.vis, Visibility::Inherited) {
                self.paths.push(path.clone());
            }
            self.imports.insert(name, path);
        }
    }

    // `pub(super)` names a module and uses nothing of it.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

/// The names that a `use` declaration brings in, each with its path.
fn collect(tree: &UseTree, path: &mut Vec<String>, leaves: &mut Vec<(String, Vec<String>)>) {
    let leaf = |name: &syn::Ident, path: &[String]| {
        let whole = path.iter().cloned().chain(Some(name.to_string()).filter(|name| name != "self"));
        whole.collect::<Vec<_>>()
    };
    match tree {
        UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            collect(&inner.tree, path, leaves);
            path.pop();
        }
        UseTree::Name(inner) => {
            let whole = leaf(&inner.ident, path);
            leaves.push((whole.last().cloned().unwrap_or_default(), whole));
        }
        UseTree::Rename(inner) => leaves.push((inner.rename.to_string(), leaf(&inner.ident, path))),
        UseTree::Group(group) => group.items.iter().for_each(|tree| collect(tree, path, leaves)),
        UseTree::Glob(_) => leaves.push(("*".to_string(), path.clone())),
    }
}

fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

/// The strongly connected groups of more than one file: each holds at least one cycle (Tarjan's algorithm).
pub fn cycles<'a>(edges: &BTreeMap<&'a Path, BTreeSet<&'a Path>>) -> Vec<Vec<&'a Path>> {
    struct Search<'a, 'b> {
        edges: &'b BTreeMap<&'a Path, BTreeSet<&'a Path>>,
        order: HashMap<&'a Path, usize>,
        lowest: HashMap<&'a Path, usize>,
        stack: Vec<&'a Path>,
        found: Vec<Vec<&'a Path>>,
    }
    impl<'a> Search<'a, '_> {
        fn visit(&mut self, file: &'a Path) {
            let order = self.order.len();
            self.order.insert(file, order);
            self.lowest.insert(file, order);
            self.stack.push(file);
            for &used in self.edges.get(file).into_iter().flatten() {
                if !self.order.contains_key(used) {
                    self.visit(used);
                    self.lowest.insert(file, self.lowest[file].min(self.lowest[used]));
                } else if self.stack.contains(&used) {
                    self.lowest.insert(file, self.lowest[file].min(self.order[used]));
                }
            }
            if self.lowest[file] == order {
                let at = self.stack.iter().position(|on_stack| *on_stack == file).unwrap();
                let mut group = self.stack.split_off(at);
                group.sort_unstable();
                if group.len() > 1 {
                    self.found.push(group);
                }
            }
        }
    }
    let mut search =
        Search { edges, order: HashMap::new(), lowest: HashMap::new(), stack: Vec::new(), found: Vec::new() };
    for &file in edges.keys() {
        if !search.order.contains_key(file) {
            search.visit(file);
        }
    }
    search.found
}

//! What is on a disk: files and directories, each with what a reader sees now, what is on stable
//! storage, and the changes between the two, in order. Must not know faults, nor who reads.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

/// A place in [`Volume::nodes`].
pub(super) type NodeId = usize;

pub(super) const ROOT: NodeId = 0;

#[derive(Clone, Debug)]
pub(super) struct Volume {
    pub(super) nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(File),
    Directory(Directory),
}

/// Content of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// As a reader sees it: the page cache.
    pub(super) cache: Vec<u8>,
    /// On stable storage.
    pub(super) durable: Vec<u8>,
    /// What no sync covered yet.
    pub(super) changes: Vec<Change>,
    /// A sync failed: the cache has what will never be written.
    pub(super) lost: bool,
    /// A sync of the whole file system lost it, and nobody was told that it was this file.
    pub(super) untold: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { at: usize, bytes: Bytes },
    SetLen(usize),
}

/// Names in a directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    pub(super) entries: BTreeMap<String, NodeId>,
    pub(super) durable: BTreeMap<String, NodeId>,
    pub(super) changes: Vec<Naming>,
}

/// A change of names; each is atomic.
#[derive(Clone, Debug)]
pub(super) enum Naming {
    Put(String, NodeId),
    Take(String),
    Move { from: String, to: String, node: NodeId },
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => write(content, *at, bytes),
            Self::SetLen(len) => content.resize(*len, 0),
        }
    }
}

impl Naming {
    pub(super) fn apply(&self, entries: &mut BTreeMap<String, NodeId>) {
        match self {
            Self::Put(name, node) => {
                entries.insert(name.clone(), *node);
            }
            Self::Take(name) => {
                entries.remove(name);
            }
            Self::Move { from, to, node } => {
                entries.remove(from);
                entries.insert(to.clone(), *node);
            }
        }
    }

    pub(super) fn touches(&self, name: &str) -> bool {
        match self {
            Self::Put(own, _) | Self::Take(own) => own == name,
            Self::Move { from, to, .. } => from == name || to == name,
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::Put(name, _) | Self::Take(name) => (name, None),
            Self::Move { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(first).chain(second).map(String::as_str)
    }
}

impl File {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.cache);
        self.changes.push(change);
    }

    /// All that was written is on stable storage, except what an earlier sync has lost.
    pub(super) fn sync(&mut self) {
        for change in self.changes.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// The cache is read from the device again.
    pub(super) fn reload(&mut self) {
        self.cache.clone_from(&self.durable);
        for change in &self.changes {
            change.apply(&mut self.cache);
        }
        self.lost = false;
    }
}

impl Directory {
    pub(super) fn change(&mut self, naming: Naming) {
        naming.apply(&mut self.entries);
        self.changes.push(naming);
    }

    pub(super) fn sync(&mut self) {
        for naming in self.changes.drain(..) {
            naming.apply(&mut self.durable);
        }
    }
}

pub(super) fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at.saturating_add(bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(to) = content.get_mut(at..end) {
        to.copy_from_slice(bytes);
    }
}

/// The names on the way to a path.
fn names(path: &Path) -> impl Iterator<Item = &str> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => name.to_str(),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
            None
        }
    })
}

impl Volume {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::Directory(Directory::default())] }
    }

    pub(super) fn find(&self, path: &Path) -> Option<NodeId> {
        let mut at = ROOT;
        for name in names(path) {
            at = *self.directory(at)?.entries.get(name)?;
        }
        Some(at)
    }

    /// The directory that a path is in, and its last name.
    pub(super) fn parent(&self, path: &Path) -> Option<(NodeId, String)> {
        let name = names(path).last()?.to_owned();
        let parent = self.find(path.parent()?)?;
        self.directory(parent).map(|_| (parent, name))
    }

    pub(super) fn file(&self, node: NodeId) -> Option<&File> {
        match self.nodes.get(node) {
            Some(Node::File(file)) => Some(file),
            Some(Node::Directory(_)) | None => None,
        }
    }

    pub(super) fn file_mut(&mut self, node: NodeId) -> Option<&mut File> {
        match self.nodes.get_mut(node) {
            Some(Node::File(file)) => Some(file),
            Some(Node::Directory(_)) | None => None,
        }
    }

    pub(super) fn directory(&self, node: NodeId) -> Option<&Directory> {
        match self.nodes.get(node) {
            Some(Node::Directory(directory)) => Some(directory),
            Some(Node::File(_)) | None => None,
        }
    }

    pub(super) fn directory_mut(&mut self, node: NodeId) -> Option<&mut Directory> {
        match self.nodes.get_mut(node) {
            Some(Node::Directory(directory)) => Some(directory),
            Some(Node::File(_)) | None => None,
        }
    }

    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut File> {
        self.nodes.iter_mut().filter_map(|node| match node {
            Node::File(file) => Some(file),
            Node::Directory(_) => None,
        })
    }

    pub(super) fn add(&mut self, parent: NodeId, name: String, node: Node) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(node);
        if let Some(directory) = self.directory_mut(parent) {
            directory.change(Naming::Put(name, id));
        }
        id
    }

    /// Creates a directory and those above it.
    pub(super) fn create_dir(&mut self, path: &Path) -> Option<()> {
        let mut at = ROOT;
        for name in names(path) {
            let next = self.directory(at)?.entries.get(name).copied();
            at = match next {
                Some(next) => next,
                None => self.add(at, name.to_owned(), Node::Directory(Directory::default())),
            };
        }
        self.directory(at).map(|_| ())
    }

    /// Everything that has a name, by path.
    pub(super) fn walk(&self) -> Vec<(PathBuf, NodeId)> {
        let mut found = Vec::new();
        let mut todo = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = todo.pop() {
            if let Some(directory) = self.directory(id) {
                todo.extend(directory.entries.iter().map(|(name, id)| (path.join(name), *id)));
            }
            found.push((path, id));
        }
        found.sort_unstable();
        found
    }

    /// Bytes of all files that have a name.
    pub(super) fn used(&self) -> u64 {
        let len = |node: &Node| match node {
            Node::File(file) => file.cache.len() as u64,
            Node::Directory(_) => 0,
        };
        self.nodes.iter().map(len).sum()
    }

    /// Forgets nodes that nothing refers to any more; the ids of the others change.
    pub(super) fn compact(&mut self) {
        let mut renamed: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        let mut order = vec![ROOT];
        let mut at = 0;
        while let Some(id) = order.get(at).copied() {
            at += 1;
            if renamed.contains_key(&id) {
                continue;
            }
            let next = renamed.len();
            renamed.insert(id, next);
            if let Some(directory) = self.directory(id) {
                order.extend(directory.entries.values().copied());
            }
        }
        let mut nodes: Vec<Option<Node>> =
            std::mem::take(&mut self.nodes).into_iter().map(Some).collect();
        let mut by_new: Vec<(NodeId, NodeId)> =
            renamed.iter().map(|(old, new)| (*new, *old)).collect();
        by_new.sort_unstable();
        for (_, old) in by_new {
            let Some(mut node) = nodes.get_mut(old).and_then(Option::take) else { continue };
            if let Node::Directory(directory) = &mut node {
                let new = |id: &NodeId| renamed.get(id).copied().unwrap_or(ROOT);
                directory.entries.values_mut().for_each(|id| *id = new(id));
                directory.durable.clone_from(&directory.entries);
            }
            self.nodes.push(node);
        }
    }
}

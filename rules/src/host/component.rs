//! [`Component`]: a component's native code, ready to be instantiated.

use std::ops::Deref;

use wasmtime::Module;
use wasmtime::component::{self, Linker};

/// A component, and the core modules that were compiled apart from it. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Component {
    pub(super) rest: component::Component,
    /// By the names under which it imports them.
    pub(super) modules: Vec<(String, Module)>,
}

impl Component {
    /// Provides the modules.
    pub(super) fn define_modules<T>(&self, linker: &mut Linker<T>) -> wasmtime::Result<()> {
        let mut root = linker.root();
        self.modules.iter().try_for_each(|(name, module)| root.module(name, module))
    }

    /// Whether an import is one of the modules.
    pub(super) fn is_module(&self, import: &str) -> bool {
        self.modules.iter().any(|(name, _)| name == import)
    }
}

/// What it is for whoever asks for its exports.
impl Deref for Component {
    type Target = component::Component;

    fn deref(&self) -> &Self::Target {
        &self.rest
    }
}
